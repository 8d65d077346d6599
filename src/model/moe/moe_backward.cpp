// Letters (src/config/config.h): T tokens, D hidden_size, E n_routed_experts, K num_experts_per_tok, F
// moe_intermediate_size; a row is a (token, choice) pair. The forward list of moe.cpp, reversed. The output of
// down_proj is not needed: with a the gated activation of a row and u = W_down^T dy of its token,
//     d gate = <W_down a, dy> = <a, u>,   d a = gate u,   d W_down += dy (gate a)^T
#include <algorithm>

#include "kernels/dispatch.h"
#include "kernels/matmul/float_matmul.h"
#include "kernels/rows/backward.h"
#include "model/moe/mlp.h"
#include "model/moe/moe.h"
#include "model/moe/moe_dispatch.h"
#include "model/moe/router.h"

namespace fathom {
namespace {

std::vector<MatView<float>> expert_gradients(const MoeWeights& w, ExpertPart part, const Gradients& gradients) {
  std::vector<MatView<float>> views;
  for (const Weight& weight : expert_weights(w, part)) views.push_back(gradients.of(weight));
  return views;
}

// dgates[t, k] = <act, u> of its row; then act and u are both multiplied by the gate.
void gate_backward(Context& ctx, const MoeSaved& s, MatView<float> act, MatView<float> u, MatView<float> dgates) {
  const KernelTable& k = kernels();
  const int64_t K = dgates.cols;
  ctx.pool.parallel_for(dgates.rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t i = 0; i < K; ++i) {
        const int32_t r = s.dispatch.row[static_cast<size_t>(t * K + i)];
        dgates(t, i) = r >= 0 ? k.dot_f32(act.row(r), u.row(r), act.cols) : 0.0f;
        if (r < 0) continue;
        k.scale(s.routing.gates(t, i), act.row(r), act.cols);
        k.scale(s.routing.gates(t, i), u.row(r), u.cols);
      }
    }
  });
}

// From the gradients of the gates and the balance losses, that of the router's weight; the part of x added to dx.
void router_backward(const Step& step, const MoeWeights& w, const MoeLayerTraining& training, MatView<const float> x,
                     MatView<const float> dgates, MatView<float> dx) {
  Context& ctx = step.ctx;
  const ModelConfig& c = step.config();
  const MoeSaved& s = training.saved;
  auto dscores = scratch(ctx, x.rows, c.n_routed_experts);
  for (int64_t t = 0; t < x.rows; ++t) std::fill(dscores.row(t), dscores.row(t) + dscores.cols, 0.0f);
  gates_backward(ctx.pool, c, s.scores, s.routing, dgates, dscores);
  balance_gradient(ctx.pool, c, training.all, s, dscores);
  scores_to_logits(ctx.pool, s.scores, dscores);
  linear_backward(ctx, MatmulPrecision::f32, x, w.gate, dscores, added_to(dx));
}

}  // namespace

void moe_backward(const Step& step, const MoeWeights& w, const MoeLayerTraining& training, MatView<const float> x,
                  MatView<const float> dy, MatView<float> dx) {
  Context& ctx = step.ctx;
  const ModelConfig& c = step.config();
  const MoeSaved& s = training.saved;
  const Gradients& gradients = *ctx.gradients;
  const int64_t T = x.rows, D = c.hidden_size, K = c.num_experts_per_tok, F = c.moe_intermediate_size,
                n_rows = s.dispatch.offsets.back();
  Arena::Scope scope(ctx.arena);
  const MatView<float> gate = s.experts.gate.sub_rows(0, n_rows), up = s.experts.up.sub_rows(0, n_rows);
  const std::vector<int64_t>& offsets = s.dispatch.offsets;
  auto rows = scratch(ctx, n_rows, D), act = scratch(ctx, n_rows, F), dgate = scratch(ctx, n_rows, F),
       dup = scratch(ctx, n_rows, F);
  auto dgates = scratch(ctx, T, K);
  gated_activation(ctx, gate, up, act);
  gather_rows(ctx, s.dispatch, dy, rows);
  grouped_linear_dinput(ctx.pool, ctx.numerics.matmul_precision(), rows, offsets, expert_weights(w, ExpertPart::down),
                        into(dgate));
  gate_backward(ctx, s, act, dgate, dgates);
  grouped_linear_dweight(ctx.pool, ctx.numerics.matmul_precision(), rows, act, offsets,
                         expert_gradients(w, ExpertPart::down, gradients));
  swiglu_backward(ctx.pool, gate, up, dgate, dgate, dup);
  gather_rows(ctx, s.dispatch, x, rows);
  grouped_linear_dweight(ctx.pool, ctx.numerics.matmul_precision(), dgate, rows, offsets,
                         expert_gradients(w, ExpertPart::gate, gradients));
  grouped_linear_dweight(ctx.pool, ctx.numerics.matmul_precision(), dup, rows, offsets,
                         expert_gradients(w, ExpertPart::up, gradients));
  grouped_linear_dinput(ctx.pool, ctx.numerics.matmul_precision(), dgate, offsets, expert_weights(w, ExpertPart::gate),
                        into(rows));
  grouped_linear_dinput(ctx.pool, ctx.numerics.matmul_precision(), dup, offsets, expert_weights(w, ExpertPart::up),
                        added_to(rows));

  if (c.n_shared_experts > 0)
    mlp_backward(ctx, w.shared_experts, s.shared, x, dy, into(dx));
  else
    for (int64_t t = 0; t < T; ++t) std::fill(dx.row(t), dx.row(t) + D, 0.0f);
  scatter_add_rows(ctx, s.dispatch, rows, dx);
  router_backward(step, w, training, x, dgates, dx);
}

}  // namespace fathom
