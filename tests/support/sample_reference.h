// The definition of sample() (engine/sampler.h), step by step: every step sees all candidates, fully sorted.
#pragma once
#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <span>
#include <vector>

#include "base/random.h"
#include "engine/sampler.h"
#include "engine/sampling/weight.h"

namespace fathom::test {

struct ReferenceCandidate {
  int32_t id;
  float score, distance = 0;
  uint64_t weight = 0;
};
using ReferenceCandidates = std::vector<ReferenceCandidate>;

inline uint64_t total_weight(const ReferenceCandidates& all) {
  uint64_t sum = 0;
  for (const auto& c : all) sum += c.weight;
  return sum;
}

// DRY's m for every token that would go on with a repetition: every place is compared with the end, token by token.
inline std::map<int32_t, int64_t> reference_repetitions(std::span<const int32_t> history, const SamplingOptions& o) {
  if (o.dry_penalty_last_n >= 0 && std::ssize(history) > o.dry_penalty_last_n)
    history = history.last(static_cast<size_t>(o.dry_penalty_last_n));
  const std::set<int32_t> breakers(o.dry_breakers.begin(), o.dry_breakers.end());
  std::map<int32_t, int64_t> longest;
  for (size_t next = 1; next < history.size(); ++next) {
    size_t m = 0;
    while (m < next && history[next - 1 - m] == history[history.size() - 1 - m] &&
           breakers.count(history[next - 1 - m]) == 0)
      ++m;
    if (breakers.count(history[next]) == 0 && static_cast<int64_t>(m) >= o.dry_allowed_length)
      longest[history[next]] = std::max(longest[history[next]], static_cast<int64_t>(m));
  }
  return longest;
}

inline ReferenceCandidates reference_scores(std::span<const float> logits, int64_t n_usable,
                                            std::span<const int32_t> history, const SamplingOptions& o,
                                            std::span<const uint64_t> allowed, int64_t n_prompt) {
  const auto repetitions = reference_repetitions(history, o);
  const size_t window = std::min(history.size(), static_cast<size_t>(o.repeat_window));
  const std::set<int32_t> recent(history.end() - static_cast<ptrdiff_t>(window), history.end());
  std::map<int32_t, int64_t> generated;
  for (int32_t id : history.subspan(static_cast<size_t>(n_prompt))) ++generated[id];
  ReferenceCandidates all;
  for (int32_t id = 0; id < n_usable; ++id) {
    const auto at = static_cast<size_t>(id);
    if (!allowed.empty() && (at / 64 >= allowed.size() || (allowed[at / 64] >> at % 64 & 1) == 0)) continue;
    double score = logits[at], bias = 0;
    for (const auto& [biased, b] : o.logit_bias) bias += biased == id ? b : 0;
    score += bias;
    if (recent.count(id) > 0) score = score > 0 ? score / o.repeat_penalty : score * o.repeat_penalty;
    if (generated.count(id) > 0) score -= o.presence_penalty + static_cast<double>(generated[id]) * o.frequency_penalty;
    if (const auto found = repetitions.find(id); o.dry_multiplier > 0 && found != repetitions.end())
      score -= o.dry_multiplier *
               std::min(1e9, std::pow(o.dry_base, static_cast<double>(found->second - o.dry_allowed_length)));
    constexpr double kMost = std::numeric_limits<float>::max();
    if (logits[at] != -INFINITY) all.push_back({id, static_cast<float>(std::clamp(score, -kMost, kMost))});
  }
  std::sort(all.begin(), all.end(),
            [](const auto& a, const auto& b) { return a.score != b.score ? a.score > b.score : a.id < b.id; });
  return all;
}

inline void sort_by_distance(ReferenceCandidates& all, float centre) {
  std::sort(all.begin(), all.end(), [&](const auto& a, const auto& b) {
    const float da = std::fabs(a.distance - centre), db = std::fabs(b.distance - centre);
    return da != db ? da < db : a.id < b.id;
  });
}

// Sorted: those in front that are needed for `share` of the weight.
inline void keep_share(ReferenceCandidates& sorted, double share) {
  const uint64_t total = total_weight(sorted);
  const uint64_t target =
      std::min(total, static_cast<uint64_t>(std::max(1.0, std::ceil(share * static_cast<double>(total)))));
  uint64_t sum = 0;
  size_t n = 0;
  while (sum < target) sum += sorted[n++].weight;
  sorted.resize(n);
}

inline float reference_mean_distance(const ReferenceCandidates& all) {
  uint64_t sum = 0;
  for (const auto& c : all) sum += weight_units(exp_minus(c.distance) * c.distance);
  return static_cast<float>(static_cast<double>(sum) / static_cast<double>(total_weight(all)));
}

inline void exclude_top_choices(ReferenceCandidates& sorted, double threshold) {
  const auto total = static_cast<double>(total_weight(sorted));
  const auto least = static_cast<uint64_t>(std::max(1.0, std::ceil(threshold * total)));
  ReferenceCandidates top, rest;
  for (const auto& c : sorted) (c.weight >= least ? top : rest).push_back(c);
  if (top.size() < 2) return;
  rest.push_back(top.back());
  sorted = rest;
  sort_by_distance(sorted, 0);
}

// For logits that are no NaN and not +infinity, one of them allowed and above -infinity.
inline int32_t sample_reference(std::span<const float> logits, int64_t n_usable, std::span<const int32_t> history,
                                int64_t position, const SamplingOptions& o, std::span<const uint64_t> allowed = {},
                                int64_t n_prompt = 0) {
  const auto random = [&](uint64_t stream) { return uniform01(o.seed, stream, static_cast<uint64_t>(position)); };
  ReferenceCandidates all = reference_scores(logits, n_usable, history, o, allowed, n_prompt);
  if (o.temperature == 0) return all.front().id;
  const float largest = all.front().score, per_degree = static_cast<float>(std::min(1e30, 1 / o.temperature));
  if (o.top_k > 0 && o.top_k < std::ssize(all)) all.resize(static_cast<size_t>(o.top_k));
  for (auto& c : all) c.distance = (largest - c.score) * per_degree, c.weight = weight_at(c.distance);
  std::erase_if(all, [](const auto& c) { return c.weight == 0; });
  if (o.typical_p < 1) {
    sort_by_distance(all, reference_mean_distance(all));
    keep_share(all, o.typical_p);
  }
  sort_by_distance(all, 0);
  if (o.top_p < 1) keep_share(all, o.top_p);
  const float farthest = all.front().distance + static_cast<float>(-std::log(o.min_p));
  if (o.min_p > 0) std::erase_if(all, [&](const auto& c) { return c.distance > farthest; });
  if (random(1) < o.xtc_probability) exclude_top_choices(all, o.xtc_threshold);
  const uint64_t total = total_weight(all);
  uint64_t left = std::min(total - 1, static_cast<uint64_t>(random(0) * static_cast<double>(total)));
  size_t i = 0;
  while (left >= all[i].weight) left -= all[i++].weight;
  return all[i].id;
}

}  // namespace fathom::test
