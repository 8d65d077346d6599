#include "data/permutation.h"

#include <bit>

#include "base/random.h"

namespace fathom {

Permutation::Permutation(uint64_t n, uint64_t seed, uint64_t stream, uint64_t epoch) noexcept : n_(n) {
  const unsigned bits = n > 1 ? static_cast<unsigned>(std::bit_width(n - 1)) : 1;
  half_bits_ = (bits + 1) / 2;
  for (size_t i = 0; i < keys_.size(); i += 2) {
    const auto words = philox(seed, stream, epoch * (kRounds / 2) + i / 2);
    keys_[i] = uint64_t{words[0]} << 32 | words[1];
    keys_[i + 1] = uint64_t{words[2]} << 32 | words[3];
  }
}

uint64_t Permutation::operator()(uint64_t index) const noexcept {
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  uint64_t x = index;
  do {
    uint64_t left = x >> half_bits_, right = x & mask;
    for (const uint64_t key : keys_) {
      uint64_t f = (right ^ key) * 0xFF51AFD7ED558CCDu;  // the finaliser of MurmurHash3
      f = (f ^ f >> 33) * 0xC4CEB9FE1A85EC53u;
      const uint64_t next = left ^ ((f ^ f >> 33) & mask);
      left = right;
      right = next;
    }
    x = left << half_bits_ | right;
  } while (x >= n_);
  return x;
}

}  // namespace fathom
