// Byte pair encoding of one word: start from single bytes, join the adjacent pair with the best rank, leftmost first,
// until no pair has one. Source: arXiv:1508.07909; order and ties as in Hugging Face tokenizers (a heap on (rank,
// position)).
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace fathom {

struct BpeMerge {
  int32_t left, right, result;
};

class BpeModel {
 public:
  // byte_ids: the token of each byte, or -1. The rank of a merge is its index; no pair occurs twice.
  BpeModel(const std::array<int32_t, 256>& byte_ids, std::span<const BpeMerge> merges);

  // Reusable memory, one per thread.
  struct Scratch {
    struct Symbol {
      int32_t id, previous, next;  // next -1: last; id -1: joined into an earlier one
    };
    struct Candidate {
      uint32_t rank, at;
    };
    std::vector<Symbol> symbols;
    std::vector<Candidate> heap;
  };

  int32_t byte_id(uint8_t byte) const noexcept { return byte_ids_[byte]; }

  // Appends the word's tokens. O(n log n). Every id in `start` is >= 0: the tokens of the word's bytes.
  void merge(std::span<const int32_t> start, Scratch& scratch, std::vector<int32_t>& out) const;

 private:
  static constexpr uint32_t kNone = 0xFFFFFFFF;
  struct Slot {
    int32_t left = -1, right = -1;
    uint32_t rank = kNone;
  };
  uint32_t rank_of(int32_t left, int32_t right) const noexcept;
  void consider(Scratch& scratch, int32_t at) const;

  std::array<int32_t, 256> byte_ids_;
  std::vector<int32_t> results_;  // by rank
  std::vector<Slot> slots_;       // open addressing, power of two
};

}  // namespace fathom
