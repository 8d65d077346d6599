// DeepSeekMoE layer, forward.
//     y = sum over the K chosen experts of gate_k E_k(x)  +  E_shared(x)
// E is SwiGLU (mlp.h); the n_shared_experts shared experts are stored, and computed, as one of n_shared_experts times
// the width. The router (router.h) works in float32. For each token the chosen experts are added in the order of their
// scores and the shared output last, so the sum does not depend on the batch. No token is ever dropped here: dropping
// belongs to training. Source: arXiv:2405.04434 equations 20 to 22; arXiv:2401.06066.
#pragma once
#include "model/config.h"
#include "model/context.h"
#include "model/weights.h"

namespace fathom {

// x (T, D) normed input of the layer, read; y (T, D) written.
void moe_forward(Context& ctx, const ModelConfig& config, const MoeWeights& w, MatView<const float> x,
                 MatView<float> y);

}  // namespace fathom
