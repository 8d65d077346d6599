#include "engine/sampling/top_scores.h"

#include <algorithm>

namespace fathom {
namespace {

bool any_above(const float* scores, float bound) {
  uint32_t above = 0;
  for (size_t i = 0; i < kScanBlock; ++i) above |= scores[i] > bound ? 1u : 0u;
  return above != 0;
}

// Holds the k best of what it was given, and up to as many more before it sorts those out.
class Best {
 public:
  explicit Best(size_t k) : k_(k) { keys_.reserve(2 * k + kSpare); }
  // A score that is not above it stands behind k others. -infinity says nothing yet.
  float bound() const { return bound_; }
  bool is_bounded() const { return bounded_; }
  void add(float score, size_t id, std::span<const float> scores) {
    keys_.push_back(score_key(score, static_cast<int32_t>(id)));
    if (keys_.size() == 2 * k_ + kSpare) cut(scores);
  }
  std::vector<uint64_t> take(std::span<const float> scores) {
    if (keys_.size() > k_) cut(scores);
    return std::move(keys_);
  }

 private:
  static constexpr size_t kSpare = 64;
  void cut(std::span<const float> scores) {
    std::nth_element(keys_.begin(), keys_.begin() + static_cast<ptrdiff_t>(k_ - 1), keys_.end());
    keys_.resize(k_);
    bound_ = scores[static_cast<size_t>(id_of_key(keys_.back()))];
    bounded_ = true;
  }

  size_t k_;
  float bound_ = 0;
  bool bounded_ = false;
  std::vector<uint64_t> keys_;
};

}  // namespace

std::vector<uint64_t> top_keys(std::span<const float> scores, int64_t k) {
  if (k <= 0) return {};
  Best best(static_cast<size_t>(std::min<int64_t>(k, std::ssize(scores))));
  size_t i = 0;
  while (i < scores.size()) {
    if (best.is_bounded() && i + kScanBlock <= scores.size() && !any_above(scores.data() + i, best.bound())) {
      i += kScanBlock;
      continue;
    }
    // Later ids lose ties, so what equals the bound cannot enter.
    for (const size_t end = std::min(i + kScanBlock, scores.size()); i < end; ++i)
      if (!best.is_bounded() || scores[i] > best.bound()) best.add(scores[i], i, scores);
  }
  return best.take(scores);
}

}  // namespace fathom
