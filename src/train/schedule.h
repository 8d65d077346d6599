// Learning rate and batch size as functions of how far the run is.
#pragma once
#include "train/config/train_config.h"

namespace fathom {

// Of the step that begins after `steps` steps and `tokens` tokens. Step 0 of the warm-up already learns: (steps + 1) /
// warmup_steps.
double learning_rate(const OptimizerConfig& optimizer, const ScheduleConfig& schedule, int64_t steps, double tokens);

// Sequences of that step.
int64_t batch_sequences(const BatchConfig& batch, double tokens);

}  // namespace fathom
