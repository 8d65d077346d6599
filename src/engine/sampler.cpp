#include "engine/sampler.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/random.h"
#include "engine/sampling/candidates.h"
#include "engine/sampling/edits.h"

namespace fathom {
namespace {

[[noreturn]] void throw_not_finite(std::span<const float> logits, bool (*is_good)(float)) {
  const auto bad = std::find_if_not(logits.begin(), logits.end(), is_good);
  throw_bad_input(
      "the model's logits are not finite (token {} has {}); its weights hold NaN or infinity, or overflow. "
      "`fathom inspect MODEL --check` names such tensors",
      bad - logits.begin(), *bad);
}

constexpr size_t kScanLanes = 32;

// The largest of them, -infinity when there is none, and whether one is NaN or +infinity.
struct Largest {
  float value = -INFINITY;
  bool has_bad = false;
};
Largest largest_of(std::span<const float> scores) {
  float largest[kScanLanes];
  uint32_t bad[kScanLanes] = {};
  std::fill(largest, largest + kScanLanes, -INFINITY);
  const auto see = [&](size_t lane, float score) {
    largest[lane] = score > largest[lane] ? score : largest[lane];
    bad[lane] |= score < INFINITY ? 0u : 1u;
  };
  size_t i = 0;
  for (; i + kScanLanes <= scores.size(); i += kScanLanes)
    for (size_t lane = 0; lane < kScanLanes; ++lane) see(lane, scores[i + lane]);
  for (; i < scores.size(); ++i) see(0, scores[i]);
  return {*std::max_element(largest, largest + kScanLanes), std::find(bad, bad + kScanLanes, 1u) != bad + kScanLanes};
}

// The scores with -infinity for ids that are not allowed.
void forbid_others(std::vector<float>& scores, std::span<const uint64_t> allowed) {
  for (size_t begin = 0; begin < scores.size(); begin += 64) {
    const uint64_t word = begin / 64 < allowed.size() ? allowed[begin / 64] : 0;
    if (word == ~uint64_t{0}) continue;
    const size_t n = std::min<size_t>(64, scores.size() - begin);
    for (size_t i = 0; i < n; ++i)
      if ((word >> i & 1) == 0) scores[begin + i] = -INFINITY;
  }
}

// `share` of the sum, at least 1 and at most the sum.
uint64_t part_of(uint64_t sum, double share) {
  return std::min(sum, static_cast<uint64_t>(std::max(1.0, std::ceil(share * static_cast<double>(sum)))));
}

int32_t draw(std::span<const float> scores, float largest, int64_t position, const SamplingOptions& o) {
  const auto random = [&](uint64_t stream) { return uniform01(o.seed, stream, static_cast<uint64_t>(position)); };
  Candidates candidates(scores, largest, o.temperature);
  if (o.top_k > 0) candidates.keep_top_k(o.top_k);
  if (o.typical_p < 1) candidates.keep_nearest(candidates.mean_distance(), part_of(candidates.total(), o.typical_p));
  if (o.top_p < 1) candidates.keep_nearest(0, part_of(candidates.total(), o.top_p));
  if (o.min_p > 0) candidates.keep_within(static_cast<float>(-std::log(o.min_p)));
  if (random(1) < o.xtc_probability) candidates.exclude_top_choices(part_of(candidates.total(), o.xtc_threshold));
  const uint64_t total = candidates.total();
  return candidates.pick(std::min(total - 1, static_cast<uint64_t>(random(0) * static_cast<double>(total))));
}

}  // namespace

int32_t sample(std::span<const float> logits, int64_t n_usable, std::span<const int32_t> history, int64_t position,
               const SamplingOptions& o, std::span<const uint64_t> allowed, int64_t n_prompt) {
  std::span<const float> scores =
      logits.first(static_cast<size_t>(std::clamp<int64_t>(n_usable, 0, std::ssize(logits))));
  Largest largest = largest_of(scores);
  if (largest.has_bad) throw_not_finite(scores, [](float l) { return l < INFINITY; });
  const std::vector<ScoreEdit> edits = edited_scores(scores, history, n_prompt, o);
  std::vector<float> changed;
  if (!edits.empty() || !allowed.empty()) {
    changed.assign(scores.begin(), scores.end());
    for (const ScoreEdit& e : edits) changed[static_cast<size_t>(e.id)] = e.score;
    if (!allowed.empty()) forbid_others(changed, allowed);
    scores = changed;
    largest = largest_of(scores);
  }
  if (largest.value == -INFINITY)
    throw_bad_input("no token may be chosen: each is forbidden or has a logit of -infinity");
  if (o.temperature == 0)
    return static_cast<int32_t>(std::find(scores.begin(), scores.end(), largest.value) - scores.begin());
  return draw(scores, largest.value, position, o);
}

void check_finite_logits(std::span<const float> logits) {
  if (!std::all_of(logits.begin(), logits.end(), [](float l) { return std::isfinite(l); }))
    throw_not_finite(logits, [](float l) { return std::isfinite(l); });
}

}  // namespace fathom
