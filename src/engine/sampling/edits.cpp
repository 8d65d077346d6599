#include "engine/sampling/edits.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_map>

namespace fathom {
namespace {

struct Touch {
  double bias = 0;
  bool repeated = false;
  int64_t generated = 0;    // times
  int64_t dry_length = -1;  // tokens of the repetition that the id would go on with; -1: none
};
using Touches = std::unordered_map<int32_t, Touch>;

std::span<const int32_t> last_of(std::span<const int32_t> history, int64_t n) {
  return history.last(static_cast<size_t>(std::min<int64_t>(std::max<int64_t>(0, n), std::ssize(history))));
}

// matches[i]: how many tokens before the end of `tokens` equal those before the place i tokens from the end (the
// Z-function of the reversed tokens), which takes linear time.
std::vector<int64_t> matches_with_end(std::span<const int32_t> tokens) {
  const int64_t n = std::ssize(tokens);
  const auto from_end = [&](int64_t i) { return tokens[static_cast<size_t>(n - 1 - i)]; };
  std::vector<int64_t> matches(static_cast<size_t>(n), n);
  for (int64_t i = 1, left = 0, right = 0; i < n; ++i) {
    int64_t m = i < right ? std::min(right - i, matches[static_cast<size_t>(i - left)]) : 0;
    while (i + m < n && from_end(m) == from_end(i + m)) ++m;
    matches[static_cast<size_t>(i)] = m;
    if (i + m > right) left = i, right = i + m;
  }
  return matches;
}

void touch_dry(Touches& touches, std::span<const int32_t> history, const SamplingOptions& o) {
  if (o.dry_multiplier == 0) return;
  const auto window = o.dry_penalty_last_n < 0 ? history : last_of(history, o.dry_penalty_last_n);
  const auto is_breaker = [&](int32_t id) {
    return std::binary_search(o.dry_breakers.begin(), o.dry_breakers.end(), id);
  };
  const int64_t n = std::ssize(window);
  const int64_t most = std::find_if(window.rbegin(), window.rend(), is_breaker) - window.rbegin();
  if (most < o.dry_allowed_length) return;
  const std::vector<int64_t> matches = matches_with_end(window);
  for (int64_t i = 1; i < n; ++i) {
    const int64_t length = std::min(matches[static_cast<size_t>(i)], most);
    const int32_t next = window[static_cast<size_t>(n - i)];
    if (length < o.dry_allowed_length || is_breaker(next)) continue;
    int64_t& longest = touches[next].dry_length;
    longest = std::max(longest, length);
  }
}

Touches touched(std::span<const int32_t> history, int64_t n_prompt, const SamplingOptions& o) {
  Touches touches;
  for (const auto& [id, bias] : o.logit_bias) touches[id].bias += bias;
  if (o.repeat_penalty != 1)
    for (const int32_t id : last_of(history, o.repeat_window)) touches[id].repeated = true;
  if (o.presence_penalty != 0 || o.frequency_penalty != 0)
    for (const int32_t id : last_of(history, std::ssize(history) - std::max<int64_t>(0, n_prompt)))
      ++touches[id].generated;
  touch_dry(touches, history, o);
  return touches;
}

float edited(float logit, const Touch& touch, const SamplingOptions& o) {
  double score = logit + touch.bias;
  if (touch.repeated) score = score > 0 ? score / o.repeat_penalty : score * o.repeat_penalty;
  if (touch.generated > 0) score -= o.presence_penalty + static_cast<double>(touch.generated) * o.frequency_penalty;
  if (touch.dry_length >= 0)
    score -= o.dry_multiplier *
             std::min(1e9, std::pow(o.dry_base, static_cast<double>(touch.dry_length - o.dry_allowed_length)));
  constexpr double kMost = std::numeric_limits<float>::max();
  return static_cast<float>(std::isinf(logit) ? score : std::clamp(score, -kMost, kMost));
}

}  // namespace

std::vector<ScoreEdit> edited_scores(std::span<const float> logits, std::span<const int32_t> history, int64_t n_prompt,
                                     const SamplingOptions& options) {
  std::vector<ScoreEdit> edits;
  for (const auto& [id, touch] : touched(history, n_prompt, options))
    if (id >= 0 && id < std::ssize(logits))
      edits.push_back({id, edited(logits[static_cast<size_t>(id)], touch, options)});
  return edits;
}

}  // namespace fathom
