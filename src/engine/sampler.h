// Logits -> the next token, and log-probabilities of tokens.
//
// The steps of sample(), in this order. n: ids below n_usable; h: history; g: its generated part, h[n_prompt ..].
//   1. allowed ids      the others cannot be chosen.
//   2. logit bias       score += bias                                                  OpenAI, logit_bias
//   3. repeat penalty   score > 0 ? score / r : score * r, of ids among the last repeat_window of h   arXiv:1909.05858
//                       with llama.cpp's reading of negative scores
//   4. presence and     score -= presence + count * frequency, of ids that g holds `count` times      OpenAI; vLLM
//      frequency        counts generated tokens alone too, llama.cpp counts a window of the prompt also
//   5. DRY              score -= multiplier * min(base^(m - allowed_length), 10^9), of ids that would go on with a
//                       repetition of m >= allowed_length tokens: the longest m such that the last m tokens of h stand
//                       somewhere before, followed by the id, and hold no breaker. Looks at the last dry_penalty_last_n
//                       of h; breakers themselves are not penalised.
//                       github.com/oobabooga/text-generation-webui/pull/5677, with llama.cpp's names
//   6. temperature 0: the id of the largest score; the end. Ties go to the lower id, here and everywhere below.
//   7. top-k            the k largest scores stay.
//   8. temperature      distance d = (largest score - score) / temperature, weight w = e^-d
//   9. typical-p        the fewest ids nearest to the mean distance sum(w d) / sum(w) whose weights reach p of the sum
//                       stay: |d - mean| is |-ln(probability) - entropy| of arXiv:2202.00666
//  10. top-p            the fewest ids of the least distances whose weights reach p of the sum stay    arXiv:1904.09751
//  11. min-p            ids up to -ln(min_p) farther than the nearest stay                             arXiv:2407.01082
//  12. XTC              with probability xtc_probability: of the ids with at least xtc_threshold of the sum of weights
//                       only the least likely stays (below two such ids, nothing happens)
//                       github.com/oobabooga/text-generation-webui/pull/6335
//  13. one draw, in proportion to the weights.
// The order is that of llama.cpp but for the temperature, which comes before the filters as in vLLM and transformers.
//
// Numbers: steps 2 to 5 are computed in double for the ids they touch, and every score is rounded to float32. Distances
// are float32. A weight is the whole number round(2^42 e^-d) with a relative error of e^-d below 2^-21, and 0 where
// d > 29.75 (e^-29.75 is about 2^-43), so such an id is never drawn. Whole numbers add up to the same sum in any order:
// nothing depends on the number of threads, on neighbours or on how the fast paths divide their work. What the rounding
// of weights moves is below 2^-43 of the largest weight for an id.
//
// The draws are functions of (seed, position): uniform01 of stream 0 for step 13 and of stream 1 for XTC's coin. The
// same text comes again whatever else ran in between.
//
// Cost: two passes over the logits or three, no sort of all of them (bench/sampler_bench.cpp). A call is one thread's;
// calls share nothing, so the rows of a batch may be sampled by many threads at once.
#pragma once
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

namespace fathom {

struct SamplingOptions {
  double temperature = 0.3;  // >= 0; 0 is greedy. DeepSeek-V2's published generation config has 0.3 and top_p 0.95
  int64_t top_k = 0;         // 0: all
  double top_p = 0.95;       // 1: all; 0: the most likely alone
  double min_p = 0.0;        // 0: off
  double typical_p = 1.0;    // 1: off
  double repeat_penalty = 1.0;
  int64_t repeat_window = 64;
  double presence_penalty = 0.0, frequency_penalty = 0.0;
  double dry_multiplier = 0.0;  // 0: DRY is off
  double dry_base = 1.75;
  int64_t dry_allowed_length = 2;
  int64_t dry_penalty_last_n = -1;         // -1: the whole history
  std::vector<int32_t> dry_breakers = {};  // ascending
  double xtc_probability = 0.0;            // 0: off
  double xtc_threshold = 0.1;              // above 0.5 no two tokens can reach it: off
  // Those of one id add up; ids that are not usable are passed over.
  std::vector<std::pair<int32_t, double>> logit_bias = {};
  uint64_t seed = 0;
};

// Ranges of every option, named as on the command line. bad_input Error.
void validate(const SamplingOptions& options);

// logits          scores of every id, at most 2^21
// n_usable        ids from here on are padding rows of the embedding and are never chosen (spec 8.1)
// history         prompt and generated tokens so far, for the penalties
// position        index of the token to choose, for the draws
// allowed         bit i % 64 of word i / 64: id i may be chosen; ids beyond the last word may not. Empty: all may
// n_prompt        tokens of history that were not generated, for presence and frequency penalties
// bad_input Error: a usable logit is NaN or +infinity (the weights hold such values, or overflowed), or no id is left
// that may be chosen (none is allowed, or their logits are all -infinity).
int32_t sample(std::span<const float> logits, int64_t n_usable, std::span<const int32_t> history, int64_t position,
               const SamplingOptions& options, std::span<const uint64_t> allowed = {}, int64_t n_prompt = 0);

// Every logit is a finite number, or the same bad_input Error.
void check_finite_logits(std::span<const float> logits);

// ln(sum(exp(logits))), in double. Terms below e^-60 of the largest are left out.
double log_sum_exp(std::span<const float> logits);

struct TokenLogprob {
  int32_t id;
  double logprob;
};
struct TokenLogprobs {
  double chosen;                  // the very number that the entry of this id in `top` has
  std::vector<TokenLogprob> top;  // the k most likely, ties to the lower id; all where there are fewer
};
// ln(probability) by the model alone (temperature 1, no penalty) among ids below n_usable: logit - log_sum_exp.
TokenLogprobs token_logprobs(std::span<const float> logits, int64_t n_usable, int32_t chosen, int64_t k);

}  // namespace fathom
