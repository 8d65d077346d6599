// log_sum_exp and token_logprobs of sampler.h.
#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "engine/sampler.h"
#include "engine/sampling/top_scores.h"

namespace fathom {
namespace {

// e^x for x <= 0 in double, 0 below -60, NaN for NaN; relative error below 1e-14. As exp_minus of weight.h, with the
// series up to r^12 / 12!.
double exp_of_negative(double x) noexcept {
  constexpr double kRound = 0x1.8p52;
  const double shifted = x * 1.4426950408889634 + kRound;
  const double n = shifted - kRound;
  const double r = (x - n * 0x1.62e42fee00000p-1) - n * 0x1.a39ef35793c76p-33;  // ln 2 in two parts
  double p = r * (1.0 / 479001600) + 1.0 / 39916800;
  p = p * r + 1.0 / 3628800;
  p = p * r + 1.0 / 362880;
  p = p * r + 1.0 / 40320;
  p = p * r + 1.0 / 5040;
  p = p * r + 1.0 / 720;
  p = p * r + 1.0 / 120;
  p = p * r + 1.0 / 24;
  p = p * r + 1.0 / 6;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  const uint64_t exponent = std::bit_cast<uint64_t>(shifted) - std::bit_cast<uint64_t>(kRound);
  const int32_t dropped = static_cast<float>(x) < -60.0f ? -1 : 0;  // a comparison of doubles is not vectorised
  return std::bit_cast<double>((std::bit_cast<uint64_t>(p) + (exponent << 52)) & ~static_cast<uint64_t>(dropped));
}

constexpr size_t kSumLanes = 8;

float largest_logit(std::span<const float> x) {
  float lanes[kSumLanes];
  std::fill(lanes, lanes + kSumLanes, -INFINITY);
  size_t i = 0;
  for (; i + kSumLanes <= x.size(); i += kSumLanes)
    for (size_t j = 0; j < kSumLanes; ++j) lanes[j] = x[i + j] > lanes[j] ? x[i + j] : lanes[j];
  for (; i < x.size(); ++i) lanes[0] = std::max(lanes[0], x[i]);
  return *std::max_element(lanes, lanes + kSumLanes);
}

// sum(exp(x - largest)), in lanes of a fixed order.
double sum_of_exp(std::span<const float> x, double largest) {
  constexpr size_t kTerms = 512;
  double lanes[kSumLanes] = {}, terms[kTerms];
  for (; !x.empty(); x = x.subspan(std::min(kTerms, x.size()))) {
    const size_t n = std::min(kTerms, x.size());
    for (size_t i = 0; i < n; ++i) terms[i] = exp_of_negative(x[i] - largest);
    for (size_t i = 0; i < n; ++i) lanes[i % kSumLanes] += terms[i];
  }
  return std::accumulate(lanes, lanes + kSumLanes, 0.0);
}

}  // namespace

double log_sum_exp(std::span<const float> logits) {
  const float largest = largest_logit(logits);
  return double{largest} + std::log(sum_of_exp(logits, largest));
}

TokenLogprobs token_logprobs(std::span<const float> logits, int64_t n_usable, int32_t chosen, int64_t k) {
  const auto usable = logits.first(static_cast<size_t>(std::clamp<int64_t>(n_usable, 0, std::ssize(logits))));
  const double total = log_sum_exp(usable);
  const auto logprob = [&](int32_t id) { return usable[static_cast<size_t>(id)] - total; };
  std::vector<uint64_t> keys = top_keys(usable, k);
  std::sort(keys.begin(), keys.end());
  TokenLogprobs found{.chosen = logprob(chosen), .top = {}};
  for (const uint64_t key : keys) found.top.push_back({id_of_key(key), logprob(id_of_key(key))});
  return found;
}

}  // namespace fathom
