// One update of the parameters, from micro-batches to new weights.
//     for (const TrainingBatch& batch : micro_batches) update.accumulate(batch, options);
//     const double norm = update.gradient_norm();
//     if (std::isfinite(norm)) update.apply({.rate = rate, .clip = update.clip(norm), .t = t}); else update.discard();
// It knows nothing of where batches come from nor of what a run leaves on the disk, so that pretraining, fine-tuning on
// answers and training on preferences differ in their batches, their weights for tokens and their loss alone.
#pragma once
#include "model/training/training_step.h"
#include "train/optimizer.h"
#include "train/parameters.h"

namespace fathom {

struct UpdateRules {
  OptimizerConfig optimizer = {};
  double bias_update_speed = 0;  // of the routers' score biases (score_bias.h); 0: they stay as they are
};

class Update {
 public:
  // Threads, scratch memory and precision of products are those of ctx; the network reads `parameters`. What is passed
  // by reference must outlive it, and so must the pool and the arena.
  Update(const Context& ctx, const Network& network, Parameters& parameters, AdamW& optimizer,
         const UpdateRules& rules);
  Update(const Update&) = delete;
  Update& operator=(const Update&) = delete;

  // Adds the gradients of one micro-batch to those of the parameters, and its report to the report. When it throws,
  // discard().
  void accumulate(const TrainingBatch& batch, const StepOptions& options);

  // Of all micro-batches since the last update.
  const StepReport& report() const noexcept { return report_; }
  double gradient_norm() const;
  // min(1, grad_clip / norm)
  double clip(double norm) const;

  // New weights, of the range of the optimiser, and score biases; then all gradients, also those of other ranges, and
  // the report are zero again.
  void apply(const AdamW::Step& step);
  // The same without new weights.
  void discard();

 private:
  Context ctx_;
  const Network& network_;
  Parameters& parameters_;
  AdamW& optimizer_;
  UpdateRules rules_;
  StepReport report_;
};

}  // namespace fathom
