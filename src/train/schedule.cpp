#include "train/schedule.h"

#include <algorithm>

namespace fathom {

double learning_rate(const OptimizerConfig& optimizer, const ScheduleConfig& schedule, int64_t steps, double tokens) {
  double rate = optimizer.max_learning_rate;
  if (steps < schedule.warmup_steps)
    rate *= static_cast<double>(steps + 1) / static_cast<double>(schedule.warmup_steps);
  for (double fraction : schedule.decay_at)
    if (tokens >= fraction * schedule.tokens) rate *= schedule.decay_factor;
  return rate;
}

int64_t batch_sequences(const BatchConfig& b, double tokens) {
  if (tokens >= b.ramp_tokens) return b.sequences;
  const double grown = static_cast<double>(b.start_sequences) +
                       static_cast<double>(b.sequences - b.start_sequences) * tokens / b.ramp_tokens;
  return std::max(b.start_sequences, static_cast<int64_t>(grown) / b.micro_batch * b.micro_batch);
}

}  // namespace fathom
