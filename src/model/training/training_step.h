// Loss and gradients of one micro-batch.
//     objective = token_weight * sum over rows with a target of weight * loss (loss.h)  +  sequence_weight * sum over
//     layers and sequences of the balance losses
// With token_weight = 1 / (sum of the weights of the whole step, none of them negative) and sequence_weight = 1 /
// (sequences of the whole step), micro-batches add up to the step's mean losses.
//
// Whatever is recomputed gives the bits that it gave before, so recomputing changes memory and time alone. Routing is
// saved and never recomputed.
#pragma once
#include "model/training/loss.h"
#include "model/transformer.h"

namespace fathom {

enum class Recompute : uint8_t {
  none,    // keep what saved.h lists
  layers,  // keep each layer's input and routing; run its forward again before its backward
};

struct StepOptions {
  BalanceOptions balance = {};
  Recompute recompute = Recompute::none;
  double token_weight = 1, sequence_weight = 1;
  int64_t loss_chunk = 256;  // rows whose logits exist at one time
  const LogitLoss* loss = &cross_entropy();

  // Sets the two weights so that these micro-batches add up to means: of losses weighted by the tokens' weights, and of
  // balance losses over all sequences. They must be known before the first gradient. bad_input when a row with a target
  // has a weight that is negative or not finite: whose weights have signs (preferences, rewards) knows what to divide
  // by, and sets both itself. Where all weights are 0 there is nothing to divide, and token_weight is 1.
  void set_means_over(std::span<const TrainingBatch> micro_batches);
};

// Sums, so that the reports of micro-batches add up to that of their step.
struct StepReport {
  double loss_sum = 0;    // of weight * loss over the rows with a target
  double weight_sum = 0;  // of their weights
  int64_t n_targets = 0;
  BalanceLosses balance;                            // summed over layers and sequences
  std::vector<std::vector<int64_t>> expert_counts;  // of each MoE layer: tokens that chose each expert, before dropping
  int64_t n_dropped = 0;                            // pairs, all layers

  StepReport& operator+=(const StepReport& o);
};

// Gradients are added to ctx.gradients. The model's kv_b_proj must be whole.
StepReport forward_and_backward(const Context& ctx, const Network& network, const TrainingBatch& batch,
                                const StepOptions& options);

// The same forward pass and loss without gradients, nothing dropped: evaluation. losses (rows) receives the loss of
// each row, without weight; 0 where there is no target.
StepReport evaluate(const Context& ctx, const Network& network, const TrainingBatch& batch, std::vector<double>* losses,
                    const LogitLoss& loss = cross_entropy());

// ---- The pieces, of which forward_and_backward calls all in this order, and a stage of a pipeline those of its own
// layers: x (T, D) goes on to the next stage, dx (T, D) comes back from it. embed_forward: transformer.h. ----

// Layers [first, last) and one micro-batch. What their forward pass saves lies in the arena until the caller's scope
// closes: micro-batches under way at the same time need an arena each.
struct Stage {
  int64_t first = 0, last = 0;
  MoeTraining moe;
  Recompute recompute = Recompute::none;
  std::vector<LayerSaved> saved = {};  // of layer first + i; by layers_forward
};

// `batch` and `options` must outlive it.
Stage make_stage(const TrainingBatch& batch, const StepOptions& options, int64_t first, int64_t last);

// As ctx, for training.
Context training_context(const Context& ctx);

// x (T, D) in place.
void layers_forward(const Step& step, Stage& stage, MatView<float> x);

// Balance losses, loads and dropped pairs of the stage's MoE layers, added to the report.
void report_layers(const ModelConfig& config, const Stage& stage, StepReport& report);

// Final norm, head and loss of x (T, D), and with ctx.gradients their backward pass: dx (T, D) is written. Logits exist
// a chunk of rows at a time, so the two passes are one. losses (T) written.
void head_forward_and_backward(const Step& step, const TrainingBatch& batch, const StepOptions& options,
                               MatView<const float> x, std::span<double> losses, MatView<float> dx);

// dx (T, D), the gradient of the output of layer last - 1, becomes that of the input of layer first. x (T, D) scratch.
void layers_backward(const Step& step, Stage& stage, MatView<float> x, MatView<float> dx);

void embed_backward(const Step& step, MatView<const float> dx);

}  // namespace fathom
