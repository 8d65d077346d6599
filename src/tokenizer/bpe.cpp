#include "tokenizer/bpe.h"

#include <algorithm>
#include <bit>

#include "base/error.h"

namespace fathom {
namespace {

// Bits of a pair, well mixed (the finaliser of MurmurHash3).
uint64_t hash_pair(int32_t left, int32_t right) {
  uint64_t h = uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
  h = (h ^ (h >> 33)) * 0xFF51AFD7ED558CCDu;
  h = (h ^ (h >> 33)) * 0xC4CEB9FE1A85EC53u;
  return h ^ (h >> 33);
}

// Heap order: the smallest rank on top, then the leftmost.
bool later(const BpeModel::Scratch::Candidate& a, const BpeModel::Scratch::Candidate& b) {
  return a.rank != b.rank ? a.rank > b.rank : a.at > b.at;
}

}  // namespace

BpeModel::BpeModel(const std::array<int32_t, 256>& byte_ids, std::span<const BpeMerge> merges) : byte_ids_(byte_ids) {
  check(merges.size() < kNone / 4, "the loader limits the number of merges");
  slots_.resize(std::bit_ceil(2 * merges.size() + 1));
  results_.reserve(merges.size());
  for (const BpeMerge& merge : merges) {
    size_t i = hash_pair(merge.left, merge.right) & (slots_.size() - 1);
    while (slots_[i].rank != kNone) i = (i + 1) & (slots_.size() - 1);
    slots_[i] = {merge.left, merge.right, static_cast<uint32_t>(results_.size())};
    results_.push_back(merge.result);
  }
}

uint32_t BpeModel::rank_of(int32_t left, int32_t right) const noexcept {
  for (size_t i = hash_pair(left, right) & (slots_.size() - 1);; i = (i + 1) & (slots_.size() - 1)) {
    const Slot& slot = slots_[i];
    if (slot.rank == kNone || (slot.left == left && slot.right == right)) return slot.rank;
  }
}

// Puts the pair that starts at symbol `at` on the heap, when it can be joined.
void BpeModel::consider(Scratch& s, int32_t at) const {
  if (at < 0 || s.symbols[static_cast<size_t>(at)].next < 0) return;
  const auto& left = s.symbols[static_cast<size_t>(at)];
  const uint32_t rank = rank_of(left.id, s.symbols[static_cast<size_t>(left.next)].id);
  if (rank == kNone) return;
  s.heap.push_back({rank, static_cast<uint32_t>(at)});
  std::push_heap(s.heap.begin(), s.heap.end(), later);
}

void BpeModel::merge(std::span<const int32_t> start, Scratch& s, std::vector<int32_t>& out) const {
  const auto n = static_cast<int32_t>(start.size());
  s.symbols.resize(start.size());
  s.heap.clear();
  for (int32_t i = 0; i < n; ++i)
    s.symbols[static_cast<size_t>(i)] = {start[static_cast<size_t>(i)], i - 1, i + 1 < n ? i + 1 : -1};
  for (int32_t i = 0; i < n; ++i) consider(s, i);

  while (!s.heap.empty()) {
    const Scratch::Candidate best = s.heap.front();
    std::pop_heap(s.heap.begin(), s.heap.end(), later);
    s.heap.pop_back();
    auto& left = s.symbols[best.at];
    if (left.id < 0 || left.next < 0) continue;  // joined into another meanwhile
    auto& right = s.symbols[static_cast<size_t>(left.next)];
    if (rank_of(left.id, right.id) != best.rank) continue;  // the pair is another one now
    left.id = results_[best.rank];
    left.next = right.next;
    right.id = -1;
    if (left.next >= 0) s.symbols[static_cast<size_t>(left.next)].previous = static_cast<int32_t>(best.at);
    consider(s, left.previous);
    consider(s, static_cast<int32_t>(best.at));
  }
  for (const auto& symbol : s.symbols)
    if (symbol.id >= 0) out.push_back(symbol.id);
}

}  // namespace fathom
