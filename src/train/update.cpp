#include "train/update.h"

#include <algorithm>

#include "train/score_bias.h"

namespace fathom {

Update::Update(const Context& ctx, const Network& network, Parameters& parameters, AdamW& optimizer,
               const UpdateRules& rules)
    : ctx_(ctx), network_(network), parameters_(parameters), optimizer_(optimizer), rules_(rules) {
  ctx_.gradients = &parameters_.gradient_map();
}

void Update::accumulate(const TrainingBatch& batch, const StepOptions& options) {
  report_ += forward_and_backward(ctx_, network_, batch, options);
}

double Update::gradient_norm() const { return fathom::gradient_norm(ctx_.pool, parameters_.gradients()); }

double Update::clip(double norm) const { return std::min(1.0, rules_.optimizer.grad_clip / norm); }

void Update::apply(const AdamW::Step& step) {
  optimizer_.update(ctx_.pool, parameters_, rules_.optimizer, step);
  if (rules_.bias_update_speed > 0) update_score_bias(parameters_, report_.expert_counts, rules_.bias_update_speed);
  const VecView<float> gradients = parameters_.gradients();
  std::fill(gradients.begin(), gradients.begin() + optimizer_.range().begin, 0.0f);
  std::fill(gradients.begin() + optimizer_.range().end, gradients.end(), 0.0f);
  report_ = {};
}

void Update::discard() {
  std::fill(parameters_.gradients().begin(), parameters_.gradients().end(), 0.0f);
  report_ = {};
}

}  // namespace fathom
