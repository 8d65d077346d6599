// Logits -> the next token.
//
// Order of the steps: repeat penalty, then (temperature 0: the largest logit) top-k, temperature, top-p, min-p, one
// draw. The draw is a function of (seed, position): the same text comes again whatever else ran in between.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace fathom {

struct SamplingOptions {
  double temperature = 0.3;  // >= 0; 0 is greedy. DeepSeek-V2's published generation config has 0.3 and top_p 0.95
  int64_t top_k = 0;         // keep the k most likely; 0: all
  double top_p = 0.95;       // keep the fewest most likely tokens whose probabilities reach p; 1: all
  double min_p = 0.0;        // drop tokens below min_p times the largest probability
  double repeat_penalty =
      1.0;  // divides positive logits, multiplies negative ones, of tokens among the last repeat_window
  int64_t repeat_window = 64;
  uint64_t seed = 0;
};

// Ranges of every option, named as on the command line. bad_input Error.
void validate(const SamplingOptions& options);

// logits          scores of every id
// n_usable        ids from here on are padding rows of the embedding and are never chosen (spec 8.1)
// history         prompt and generated tokens so far, for the repeat penalty
// position        index of the token to choose, for the draw
// Ties go to the lower id. Logits that are not finite (NaN, +inf) are a bad_input Error: the weights hold such values,
// or overflowed.
int32_t sample(std::span<const float> logits, int64_t n_usable, std::span<const int32_t> history, int64_t position,
               const SamplingOptions& options);

// Every logit is a finite number, or the same bad_input Error.
void check_finite_logits(std::span<const float> logits);

// ln(sum(exp(logits))), in double.
double log_sum_exp(std::span<const float> logits);

}  // namespace fathom
