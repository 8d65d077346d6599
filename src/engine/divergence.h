// How far one model's predictions are from another's, over the tokens of a text.
//     KL(P || Q) = sum over ids of P(id) ln(P(id) / Q(id)),   P = softmax(logits of the reference), Q = of the model
// KL is in nats and 0 exactly when the two agree; it sees what a perplexity hides, since gains and losses do not
// cancel.
#pragma once
#include <cstdint>
#include <vector>

#include "tensor/view.h"

namespace fathom {

struct TokenDivergence {
  double kl = 0;                      // >= 0
  double nll = 0, reference_nll = 0;  // -ln of the probability of the token that came
  bool same_top = false;              // both find the same id the most likely (ties: the lower id)
};

// Logits of all ids from both models at one place, the same number of each; target: the id that came. Sums are double,
// two exp per id. Not finite logits give a kl that is not finite.
TokenDivergence compare_logits(VecView<const float> reference, VecView<const float> logits, int64_t target);

// Sums over tokens. Keeps 4 bytes a token, for the percentiles. Errors are standard errors of the mean.
class Divergence {
 public:
  void add(const TokenDivergence& token);

  int64_t tokens() const noexcept { return static_cast<int64_t>(kl_.size()); }
  double mean_kl() const { return kl_sum_ / count(); }
  double mean_kl_error() const { return standard_error(kl_sum_, kl_squared_); }
  // The smallest KL that the share q of all tokens does not exceed; 0 < q <= 1.
  double kl_percentile(double q) const;
  double same_top() const { return static_cast<double>(n_same_top_) / count(); }
  double same_top_error() const;
  // perplexity of the model / perplexity of the reference = exp(mean(nll - reference_nll)). The error is that of the
  // paired differences, which is far smaller than the errors of the two perplexities.
  double perplexity_ratio() const;
  double perplexity_ratio_error() const { return standard_error(excess_, excess_squared_) * perplexity_ratio(); }
  double reference_perplexity() const;

 private:
  double count() const { return static_cast<double>(kl_.size()); }
  double standard_error(double sum, double sum_of_squares) const;

  std::vector<float> kl_;
  double kl_sum_ = 0, kl_squared_ = 0, excess_ = 0, excess_squared_ = 0, reference_nll_ = 0;
  int64_t n_same_top_ = 0;
};

}  // namespace fathom
