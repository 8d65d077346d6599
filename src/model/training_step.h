// Loss and gradients of one micro-batch.
//     objective = token_weight * sum over tokens with a target of -log p(target)  +  sequence_weight * sum over layers
//     and sequences of the balance losses
// With token_weight = 1 / (tokens of the whole step) and sequence_weight = 1 / (sequences of the whole step),
// micro-batches add up to the step's mean losses.
//
// Whatever is recomputed gives the bits that it gave before, so recomputing changes memory and time alone. Routing is
// saved and never recomputed.
#pragma once
#include "model/transformer.h"

namespace fathom {

enum class Recompute : uint8_t {
  none,    // keep what saved.h lists
  layers,  // keep each layer's input and routing; run its forward again before its backward
};

struct TrainingBatch {
  Batch batch;                          // whole sequences (documents); rows in order
  std::vector<int32_t> targets;         // one a row; negative: no loss there
  std::vector<SequenceRows> sequences;  // training sequences: the unit of the balance losses
};

struct StepOptions {
  BalanceOptions balance;
  Recompute recompute = Recompute::none;
  double token_weight = 1, sequence_weight = 1;
  int64_t loss_chunk = 256;  // rows whose logits exist at one time
};

struct StepReport {
  double loss_sum = 0;  // of -log p, natural logarithm, over tokens with a target
  int64_t n_targets = 0;
  BalanceLosses balance;                            // summed over layers and sequences
  std::vector<std::vector<int64_t>> expert_counts;  // of each MoE layer: tokens that chose each expert, before dropping
  int64_t n_dropped = 0;                            // pairs, all layers
};

// Gradients are added to ctx.gradients. The model's kv_b_proj must be whole.
StepReport forward_and_backward(const Context& ctx, const Network& network, const TrainingBatch& batch,
                                const StepOptions& options);

// The same forward pass and loss without gradients, nothing dropped: evaluation. losses (rows) receives -log p of each
// row, 0 where there is no target.
StepReport evaluate(const Context& ctx, const Network& network, const TrainingBatch& batch,
                    std::vector<double>* losses);

}  // namespace fathom
