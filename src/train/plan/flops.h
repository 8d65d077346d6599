// The work of training, counted from the shapes.
#pragma once
#include "train/config/train_config.h"

namespace fathom {

// Multiply-adds times two, of one token in a full sequence of one document: 2 for each parameter that a token uses (the
// embedding table left out) and attention over half the sequence in the forward pass; twice that in the backward pass.
// What recomputing (recompute = "layers") does again is not counted.
struct TokenFlops {
  double forward = 0, backward = 0;
  double total() const { return forward + backward; }
};
TokenFlops flops_per_token(const TrainConfig& config);

// Updates until the schedule's tokens are consumed, if every sequence is full.
int64_t expected_steps(const TrainConfig& config);

}  // namespace fathom
