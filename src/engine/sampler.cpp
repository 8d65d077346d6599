#include "engine/sampler.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"
#include "base/random.h"

namespace fathom {
namespace {

struct Candidate {
  int32_t id;
  double score;  // logit, then probability
};

bool more_likely(const Candidate& a, const Candidate& b) {
  return a.score != b.score ? a.score > b.score : a.id < b.id;
}

[[noreturn]] void throw_not_finite(size_t id, float logit) {
  throw_bad_input(
      "the model's logits are not finite (token {} has {}); its weights hold NaN or infinity, or overflow. "
      "`fathom inspect MODEL --check` names such tensors",
      id, logit);
}

std::vector<Candidate> candidates(std::span<const float> logits, int64_t n_usable) {
  std::vector<Candidate> all(static_cast<size_t>(std::min<int64_t>(n_usable, static_cast<int64_t>(logits.size()))));
  for (size_t i = 0; i < all.size(); ++i) {
    if (std::isnan(logits[i]) || logits[i] == INFINITY) throw_not_finite(i, logits[i]);
    all[i] = {static_cast<int32_t>(i), logits[i]};
  }
  return all;
}

void penalise_repeats(std::vector<Candidate>& all, std::span<const int32_t> history, const SamplingOptions& o) {
  if (o.repeat_penalty == 1.0) return;
  std::vector<int32_t> recent(history.begin() + std::max<int64_t>(0, std::ssize(history) - o.repeat_window),
                              history.end());
  std::sort(recent.begin(), recent.end());
  recent.erase(std::unique(recent.begin(), recent.end()), recent.end());
  for (int32_t id : recent) {
    if (id < 0 || id >= std::ssize(all)) continue;
    double& score = all[static_cast<size_t>(id)].score;
    score = score > 0 ? score / o.repeat_penalty : score * o.repeat_penalty;
  }
}

// Scores (sorted, largest first) become probabilities at this temperature.
void to_probabilities(std::vector<Candidate>& sorted, double temperature) {
  const double largest = sorted.front().score;
  double sum = 0;
  for (Candidate& c : sorted) sum += c.score = std::exp((c.score - largest) / temperature);
  for (Candidate& c : sorted) c.score /= sum;
}

void keep_top_p(std::vector<Candidate>& sorted, double top_p) {
  double sum = 0;
  size_t n = 0;
  while (n < sorted.size() && sum < top_p) sum += sorted[n++].score;
  sorted.resize(std::max<size_t>(1, n));
}

void keep_min_p(std::vector<Candidate>& sorted, double min_p) {
  const double threshold = min_p * sorted.front().score;
  while (sorted.size() > 1 && sorted.back().score < threshold) sorted.pop_back();
}

}  // namespace

void validate(const SamplingOptions& o) {
  const auto in_range = [](const char* name, double value, double low, double high) {
    if (!(value >= low && value <= high))
      throw_bad_input("--{} is {}; it must lie between {} and {}", name, value, low, high);
  };
  in_range("temperature", o.temperature, 0, 100);
  in_range("top-p", o.top_p, 0, 1);
  in_range("min-p", o.min_p, 0, 1);
  in_range("repeat-penalty", o.repeat_penalty, 0.01, 100);
  in_range("top-k", static_cast<double>(o.top_k), 0, 1e9);
}

int32_t sample(std::span<const float> logits, int64_t n_usable, std::span<const int32_t> history, int64_t position,
               const SamplingOptions& o) {
  std::vector<Candidate> all = candidates(logits, n_usable);
  penalise_repeats(all, history, o);
  if (o.temperature == 0) return std::min_element(all.begin(), all.end(), more_likely)->id;
  const size_t n = o.top_k > 0 ? std::min(all.size(), static_cast<size_t>(o.top_k)) : all.size();
  std::partial_sort(all.begin(), all.begin() + static_cast<ptrdiff_t>(n), all.end(), more_likely);
  all.resize(n);
  to_probabilities(all, o.temperature);
  if (o.top_p < 1) keep_top_p(all, o.top_p);
  if (o.min_p > 0) keep_min_p(all, o.min_p);
  const double total =
      std::accumulate(all.begin(), all.end(), 0.0, [](double s, const Candidate& c) { return s + c.score; });
  double left = uniform01(o.seed, /*stream=*/0, static_cast<uint64_t>(position)) * total;
  for (const Candidate& c : all) {
    if (left < c.score) return c.id;
    left -= c.score;
  }
  return all.back().id;  // rounding left a crumb
}

void check_finite_logits(std::span<const float> logits) {
  for (size_t i = 0; i < logits.size(); ++i)
    if (!std::isfinite(logits[i])) throw_not_finite(i, logits[i]);
}

double log_sum_exp(std::span<const float> logits) {
  const double largest = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (float l : logits) sum += std::exp(l - largest);
  return largest + std::log(sum);
}

}  // namespace fathom
