// SwiGLU feed-forward:  y = down_proj( silu(gate_proj x) * up_proj x ), no biases.   Source: arXiv:2002.05202.
#pragma once
#include "model/context.h"
#include "model/weights.h"

namespace fathom {

// x (T, D) read, y (T, D) written.
void mlp_forward(Context& ctx, const MlpWeights& w, MatView<const float> x, MatView<float> y);

// act (rows) = silu(gate) * up, rounded to what ctx keeps; act may be gate.
void gated_activation(Context& ctx, MatView<const float> gate, MatView<const float> up, MatView<float> act);

}  // namespace fathom
