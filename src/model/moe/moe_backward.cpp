// Letters (src/config/config.h): T tokens, D hidden_size, E n_routed_experts, K num_experts_per_tok, F
// moe_intermediate_size; a row is a (token, choice) pair. The forward list of moe.cpp, reversed. The output of
// down_proj is not needed: with a the gated activation of a row and u = W_down^T dy of its token,
//     d gate = <W_down a, dy> = <a, u>,   d a = gate u,   d W_down += dy (gate a)^T
#include <algorithm>

#include "kernels/dispatch.h"
#include "kernels/matmul/float_matmul.h"
#include "model/moe/mlp.h"
#include "model/moe/moe.h"
#include "model/moe/moe_dispatch.h"
#include "model/moe/router.h"

namespace fathom {
namespace {

// Of gate_and_up: mlp.h; where an expert has no such matrix, no gradients.
std::vector<MatView<float>> expert_gradients(const MoeWeights& w, ExpertPart part, const Gradients& gradients) {
  std::vector<MatView<float>> views;
  if (part != ExpertPart::gate_and_up) {
    for (const Weight& weight : expert_weights(w, part)) views.push_back(gradients.of(weight));
    return views;
  }
  for (const MlpWeights& e : w.experts) {
    views.push_back(gate_and_up(e, gradients));
    if (views.back().empty()) return {};
  }
  return views;
}

// For each row: dgates[t, k] = <a, u>; act = gate a; dboth, the gradients of gate_proj's and up_proj's outputs, from
// gate u. u is scaled in place.
void rows_backward(Context& ctx, const MoeSaved& s, MatView<float> u, MatView<float> dgates, const Operand& act,
                   const Operand& dboth) {
  const KernelTable& k = kernels();
  const int64_t K = dgates.cols, F = u.cols;
  const MatView<const float> gate = s.experts.gate(), up = s.experts.up();
  ctx.pool.parallel_for(dgates.rows, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> a(static_cast<size_t>(F));
    for (int64_t t = begin; t < end; ++t) {
      for (int64_t i = 0; i < K; ++i) {
        const int32_t r = s.dispatch.row[static_cast<size_t>(t * K + i)];
        dgates(t, i) = 0.0f;
        if (r < 0) continue;
        k.swiglu_row(gate.row(r), up.row(r), F, a.data());
        dgates(t, i) = k.dot_f32(a.data(), u.row(r), F);
        k.scale(s.routing.gates(t, i), a.data(), F);
        k.scale(s.routing.gates(t, i), u.row(r), F);
        act.set(r, 0, F, a.data());
        gated_activation_backward(s.experts, r, u.row(r), dboth);
      }
    }
  });
}

// From dboth and the rows of x, the gradients of gate_proj and up_proj and the part of dx: rows (n_rows, D), written.
void gate_and_up_backward(Context& ctx, const MoeWeights& w, const std::vector<int64_t>& offsets, const AnyRows& x,
                          const AnyRows& dboth, MatView<float> rows) {
  const MatmulPrecision p = ctx.numerics.matmul_precision();
  const std::vector<Weight> both = expert_weights(w, ExpertPart::gate_and_up);
  const std::vector<MatView<float>> dw = expert_gradients(w, ExpertPart::gate_and_up, *ctx.gradients);
  if (!both.empty() && !dw.empty()) {
    grouped_linear_dweight(ctx.pool, p, dboth, x, offsets, dw);
    grouped_linear_dinput(ctx.pool, p, dboth, offsets, both, into(rows));
    return;
  }
  const int64_t F = dboth.cols() / 2;
  for (const ExpertPart part : {ExpertPart::gate, ExpertPart::up}) {
    const bool first = part == ExpertPart::gate;
    const AnyRows d = dboth.sub_cols(first ? 0 : F, F);
    grouped_linear_dweight(ctx.pool, p, d, x, offsets, expert_gradients(w, part, *ctx.gradients));
    grouped_linear_dinput(ctx.pool, p, d, offsets, expert_weights(w, part), {rows, !first});
  }
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
  const MatmulPrecision p = ctx.numerics.matmul_precision();
  const int64_t T = x.rows, D = c.hidden_size, K = c.num_experts_per_tok, F = c.moe_intermediate_size,
                n_rows = s.dispatch.offsets.back();
  const std::vector<int64_t>& offsets = s.dispatch.offsets;
  Arena::Scope scope(ctx.arena);
  const AnyRows x_operand = as_operand(ctx, x), dy_operand = as_operand(ctx, dy);
  const auto dgates = scratch(ctx, T, K), rows = scratch(ctx, n_rows, D);
  const Operand dboth(ctx, n_rows, 2 * F);
  {
    Arena::Scope down(ctx.arena);
    const auto u = scratch(ctx, n_rows, F);
    const Operand act(ctx, n_rows, F);
    const AnyRows gathered = gathered_rows(ctx, s.dispatch, dy_operand);
    grouped_linear_dinput(ctx.pool, p, gathered, offsets, expert_weights(w, ExpertPart::down), into(u));
    rows_backward(ctx, s, u, dgates, act, dboth);
    grouped_linear_dweight(ctx.pool, p, gathered, act.rows(), offsets,
                           expert_gradients(w, ExpertPart::down, *ctx.gradients));
  }
  {
    Arena::Scope gate_and_up(ctx.arena);
    gate_and_up_backward(ctx, w, offsets, gathered_rows(ctx, s.dispatch, x_operand), dboth.rows(), rows);
  }

  if (c.n_shared_experts > 0)
    mlp_backward(ctx, w.shared_experts, s.shared, x_operand, dy_operand, into(dx));
  else
    for (int64_t t = 0; t < T; ++t) std::fill(dx.row(t), dx.row(t) + D, 0.0f);
  scatter_add_rows(ctx, s.dispatch, rows, dx);
  router_backward(step, w, training, x, dgates, dx);
}

}  // namespace fathom
