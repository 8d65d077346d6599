#include "train/plan/flops.h"

#include <algorithm>
#include <cmath>

#include "model/footprint.h"
#include "train/schedule.h"

namespace fathom {

TokenFlops flops_per_token(const TrainConfig& config) {
  const ModelConfig& c = config.model;
  const auto used = static_cast<double>(footprint(c).activated_parameters_without_embedding);
  const double attention =
      static_cast<double>(c.num_hidden_layers * c.num_attention_heads * (c.qk_head_dim() + c.value_head_dim())) *
      static_cast<double>(config.data.sequence_length) / 2;
  return {.forward = 2 * (used + attention), .backward = 4 * (used + attention)};
}

int64_t expected_steps(const TrainConfig& config) {
  const BatchConfig& b = config.batch;
  const auto length = static_cast<double>(config.data.sequence_length);
  double tokens = 0;
  int64_t steps = 0;
  while (tokens < config.schedule.tokens) {
    const int64_t sequences = batch_sequences(b, tokens);
    // All steps of this batch size at once: until the ramp allows one more micro-batch, or the end.
    double until = config.schedule.tokens;
    if (sequences < b.sequences)
      until = std::min(until, b.ramp_tokens * static_cast<double>(sequences + b.micro_batch - b.start_sequences) /
                                  static_cast<double>(b.sequences - b.start_sequences));
    const double of_step = static_cast<double>(sequences) * length;
    const double n = std::max(1.0, std::ceil((until - tokens) / of_step));
    tokens += n * of_step;
    steps += static_cast<int64_t>(n);
  }
  return steps;
}

}  // namespace fathom
