// DeepSeekMoE layer, forward.
//     y = sum over the K chosen experts of gate_k E_k(x)  +  E_shared(x)
// E is SwiGLU (mlp.h); the n_shared_experts shared experts are stored, and computed, as one of n_shared_experts times
// the width. The router (router.h) works in float32. For each token the chosen experts are added in the order of their
// scores and the shared output last, so the sum does not depend on the batch. Tokens are dropped in training alone, and
// only when the options ask for it (balance.h). Source: arXiv:2405.04434 equations 20 to 22; arXiv:2401.06066.
#pragma once
#include <span>

#include "model/moe/balance.h"
#include "model/saved.h"
#include "model/step.h"

namespace fathom {

// What training asks of one MoE layer. What the forward pass saves is planned before, its routing too.
struct MoeLayerTraining {
  const MoeTraining& all;
  MoeSaved& saved;
  bool reuse_routing = false;  // saved holds it already: the forward pass is run again
};

// Allocates the routing that moe_forward saves of T tokens; and the rest, which may be computed again later from the
// same routing.
void allocate_routing(Context& ctx, const ModelConfig& config, int64_t T, MoeSaved& saved);
void allocate_moe_saved(Context& ctx, const ModelConfig& config, int64_t T, MoeSaved& saved);

// x (T, D) normed input of the layer, read; y (T, D) written. training: nullptr in inference.
void moe_forward(Context& ctx, const ModelConfig& config, const MoeWeights& w, MatView<const float> x, MatView<float> y,
                 const MoeLayerTraining* training);

// dx (T, D) written; gradients of weights added to, the balance losses' part among them. The chosen experts and the
// loads are constants.
void moe_backward(const Step& step, const MoeWeights& w, const MoeLayerTraining& training, MatView<const float> x,
                  MatView<const float> dy, MatView<float> dx);

}  // namespace fathom
