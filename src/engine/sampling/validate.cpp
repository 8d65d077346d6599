// validate of sampler.h.
#include <algorithm>

#include "base/error.h"
#include "engine/sampler.h"

namespace fathom {
namespace {

void in_range(const char* name, double value, double low, double high) {
  if (!(value >= low && value <= high))
    throw_bad_input("--{} is {}; it must lie between {} and {}", name, value, low, high);
}

void in_range(const char* name, int64_t value, int64_t low) {
  constexpr int64_t kHigh = 1'000'000'000;
  if (value < low || value > kHigh)
    throw_bad_input("--{} is {}; it must lie between {} and {}", name, value, low, kHigh);
}

void validate_dry(const SamplingOptions& o) {
  in_range("dry-multiplier", o.dry_multiplier, 0, 100);
  in_range("dry-base", o.dry_base, 1, 100);
  in_range("dry-allowed-length", o.dry_allowed_length, 1);
  in_range("dry-penalty-last-n", o.dry_penalty_last_n, -1);
  if (!std::is_sorted(o.dry_breakers.begin(), o.dry_breakers.end()))
    throw_bad_input("--dry-sequence-breaker: the token ids must ascend");
}

}  // namespace

void validate(const SamplingOptions& o) {
  in_range("temperature", o.temperature, 0, 100);
  in_range("top-k", o.top_k, 0);
  in_range("top-p", o.top_p, 0, 1);
  in_range("min-p", o.min_p, 0, 1);
  in_range("typical", o.typical_p, 0, 1);
  in_range("repeat-penalty", o.repeat_penalty, 0.01, 100);
  in_range("repeat-last-n", o.repeat_window, 0);
  in_range("presence-penalty", o.presence_penalty, -2, 2);
  in_range("frequency-penalty", o.frequency_penalty, -2, 2);
  validate_dry(o);
  in_range("xtc-probability", o.xtc_probability, 0, 1);
  in_range("xtc-threshold", o.xtc_threshold, 0, 1);
  for (const auto& [id, bias] : o.logit_bias) {
    if (id < 0) throw_bad_input("--logit-bias: {} is no token id", id);
    in_range("logit-bias", bias, -100, 100);
  }
}

}  // namespace fathom
