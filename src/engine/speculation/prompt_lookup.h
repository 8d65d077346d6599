// Drafts what followed earlier in the sequence: the ids after the most recent earlier place that ends in the same
// n ids as the sequence does now, for the longest n of kMatchLengths. Source: prompt lookup decoding (Saxena 2023);
// arXiv:2304.04487 with the text itself as the reference.
#pragma once
#include <unordered_map>

#include "engine/speculation/proposer.h"

namespace fathom {

inline constexpr int64_t kMatchLengths[] = {8, 5, 3, 2};  // the kinds, longest first

// An index from the hash of n ids to where they ended last, so that a new id costs one entry for each length, whatever
// the length of the sequence. What the index names is compared before it is used.
class PromptLookup final : public Proposer {
 public:
  int n_kinds() const noexcept override { return std::size(kMatchLengths); }
  bool is_free() const noexcept override { return true; }
  void begin(std::span<const int32_t> history, const GenerateRequest& request) override;
  std::optional<int> kind(std::span<const int32_t> history) override;
  // Where the earlier place is so near that its continuation reaches the end, the draft is periodic.
  std::vector<int32_t> propose(std::span<const int32_t> history, int64_t most) override;

 private:
  std::unordered_map<uint64_t, int64_t> last_end_;  // (length, ids) -> index of the id after them
  int64_t n_indexed_ = 0;                           // runs that end before this index are in last_end_
  int64_t next_ = 0;                                // of the match: index of the id after it
};

}  // namespace fathom
