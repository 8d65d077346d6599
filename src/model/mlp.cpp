#include "model/mlp.h"

#include "kernels/matmul.h"
#include "kernels/swiglu.h"

namespace fathom {

void gated_activation(Context& ctx, MatView<const float> gate, MatView<const float> up, MatView<float> act) {
  swiglu_forward(ctx.pool, gate, up, act);
  round_activations(ctx, act);
}

void mlp_forward(Context& ctx, const MlpWeights& w, MatView<const float> x, MatView<float> y) {
  Arena::Scope scope(ctx.arena);
  auto gate = scratch(ctx, x.rows, w.gate_proj.rows), up = scratch(ctx, x.rows, w.up_proj.rows);
  matmul(ctx.pool, x, w.gate_proj, gate);
  matmul(ctx.pool, x, w.up_proj, up);
  round_activations(ctx, gate);
  round_activations(ctx, up);
  gated_activation(ctx, gate, up, gate);
  matmul(ctx.pool, gate, w.down_proj, y);
  round_activations(ctx, y);
}

}  // namespace fathom
