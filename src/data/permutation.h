// A permutation of 0 .. n-1 that is computed, not stored: any element of it costs the same, for any n.
//
// A balanced Feistel network of 8 rounds permutes the 2^(2b) numbers of the smallest even bit count 2b with
// 2^(2b) >= n; a result outside the range is put in again until it falls inside ("cycle walking": Black and Rogaway,
// "Ciphers with arbitrary finite domains", CT-RSA 2002), fewer than 4 times on average because 2^(2b) < 4n.
#pragma once
#include <array>
#include <cstdint>

namespace fathom {

class Permutation {
 public:
  // n >= 1. Permutations of different (seed, stream, epoch) are independent; the same three give the same one on every
  // machine. `stream` says what is permuted.
  Permutation(uint64_t n, uint64_t seed, uint64_t stream, uint64_t epoch) noexcept;

  uint64_t operator()(uint64_t index) const noexcept;  // index < n; the result too

 private:
  static constexpr int kRounds = 8;
  uint64_t n_;
  unsigned half_bits_ = 1;
  std::array<uint64_t, kRounds> keys_{};
};

}  // namespace fathom
