#include "engine/divergence.h"

#include <algorithm>
#include <cmath>

#include "engine/sampler.h"

namespace fathom {
namespace {

int64_t top(VecView<const float> logits) { return std::max_element(logits.begin(), logits.end()) - logits.begin(); }

double log_sum(VecView<const float> logits) {
  return log_sum_exp(std::span<const float>(logits.data, static_cast<size_t>(logits.size)));
}

}  // namespace

TokenDivergence compare_logits(VecView<const float> reference, VecView<const float> logits, int64_t target) {
  check(reference.size == logits.size && target < logits.size, "logits of the same ids");
  const double log_p_sum = log_sum(reference), log_q_sum = log_sum(logits);
  double kl = 0;
  for (int64_t i = 0; i < logits.size; ++i) {
    const double log_p = reference[i] - log_p_sum, log_q = logits[i] - log_q_sum;
    kl += std::exp(log_p) * (log_p - log_q);
  }
  return {.kl = kl < 0 ? 0 : kl,  // rounding alone takes it below; NaN stays
          .nll = log_q_sum - logits[target],
          .reference_nll = log_p_sum - reference[target],
          .same_top = top(reference) == top(logits)};
}

void Divergence::add(const TokenDivergence& t) {
  const double excess = t.nll - t.reference_nll;
  kl_.push_back(static_cast<float>(t.kl));
  kl_sum_ += t.kl, kl_squared_ += t.kl * t.kl;
  excess_ += excess, excess_squared_ += excess * excess;
  reference_nll_ += t.reference_nll;
  n_same_top_ += t.same_top;
}

double Divergence::standard_error(double sum, double sum_of_squares) const {
  const double mean = sum / count(), variance = sum_of_squares / count() - mean * mean;
  return kl_.size() > 1 && variance > 0 ? std::sqrt(variance / (count() - 1)) : 0;
}

double Divergence::kl_percentile(double q) const {
  check(!kl_.empty() && q > 0 && q <= 1, "a share of some tokens");
  std::vector<float> sorted = kl_;
  const auto nth = sorted.begin() + static_cast<int64_t>(std::ceil(q * count())) - 1;
  std::nth_element(sorted.begin(), nth, sorted.end());
  return *nth;
}

double Divergence::same_top_error() const {
  const auto n = static_cast<double>(n_same_top_);
  return standard_error(n, n);
}

double Divergence::perplexity_ratio() const { return std::exp(excess_ / count()); }
double Divergence::reference_perplexity() const { return std::exp(reference_nll_ / count()); }

}  // namespace fathom
