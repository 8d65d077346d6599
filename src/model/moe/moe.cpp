// Letters (src/config/config.h): T tokens, D hidden_size, E n_routed_experts, K num_experts_per_tok, F
// moe_intermediate_size.
#include "model/moe/moe.h"

#include <algorithm>

#include "base/trace.h"
#include "kernels/dispatch.h"
#include "kernels/matmul/float_matmul.h"
#include "model/moe/mlp.h"
#include "model/moe/moe_dispatch.h"
#include "model/moe/router.h"
#include "quant/decode.h"

namespace fathom {
namespace {

// (E) float32, or empty.
VecView<const float> score_bias(Context& ctx, const ModelConfig& c, const MoeWeights& w) {
  if (!c.has_score_bias()) return {};
  float* bias = ctx.arena.take<float>(c.n_routed_experts);
  decode_row(w.e_score_correction_bias, 0, bias);
  return {bias, c.n_routed_experts};
}

// Which experts each token takes, and the pairs that are computed, sorted by expert.
void route_and_dispatch(Context& ctx, const ModelConfig& c, const MoeWeights& w, MatView<const float> x,
                        const MoeTraining* training, MoeSaved& s) {
  const Zone zone("route");
  matmul(ctx.pool, x, w.gate, s.scores);  // float32 whatever ctx keeps
  Arena::Scope scope(ctx.arena);
  route(ctx.pool, c, s.scores, score_bias(ctx, c, w), s.routing);
  std::vector<uint8_t> kept;
  if (training != nullptr && training->balance->capacity_factor > 0) {
    kept.resize(static_cast<size_t>(x.rows * c.num_experts_per_tok));
    choose_kept(c, *training->balance, s.scores, s.routing, training->sequences, kept);
  }
  s.dispatch = sort_by_expert(s.routing, c.n_routed_experts, kept);
}

// Rows of each expert by the runs of the step that their tokens belong to; within an expert tokens are in order.
void linear_by_runs(Context& ctx, const Dispatch& d, MatView<const float> x, std::span<const Weight> weights,
                    MatView<float> y) {
  for (size_t e = 0; e < weights.size(); ++e) {
    int64_t first = d.offsets[e], end_token = 0;
    for (const RowRun& run : ctx.runs) {
      end_token += run.n;
      const auto end = std::lower_bound(d.token.begin() + first, d.token.begin() + d.offsets[e + 1], end_token);
      const int64_t n = end - d.token.begin() - first;
      if (n > 0) linear_of_run(ctx, run.many, x.sub_rows(first, n), weights[e], y.sub_rows(first, n));
      first += n;
    }
  }
}

void grouped(Context& ctx, const MoeWeights& w, ExpertPart part, const Dispatch& d, MatView<const float> x,
             MatView<float> y) {
  const std::vector<Weight> weights = expert_weights(w, part);
  const auto rounds = [](const Weight& weight) { return rounds_many_rows(weight); };
  const bool by_runs = std::ranges::any_of(ctx.runs, &RowRun::many) && std::ranges::any_of(weights, rounds);
  if (by_runs && ctx.runs.size() == 1 && std::ranges::all_of(weights, rounds))
    grouped_linear(ctx.pool, MatmulPrecision::bf16, x, d.offsets, weights, y);
  else if (by_runs)
    linear_by_runs(ctx, d, x, weights, y);
  else
    grouped_linear(ctx, x, d.offsets, weights, y);
  round_activations(ctx, y);
}

// y[t] = sum over k of gate * out[row of (t, k)], in the order of the scores, then the shared output.
void combine(Context& ctx, const MoeSaved& s, MatView<const float> out, MatView<const float> shared, MatView<float> y) {
  const Zone zone("combine");
  const KernelTable& k = kernels();
  const int64_t D = y.cols, K = s.routing.gates.cols;
  ctx.pool.parallel_for(y.rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      std::fill(y.row(t), y.row(t) + D, 0.0f);
      for (int64_t i = 0; i < K; ++i)
        if (const int32_t r = s.dispatch.row[static_cast<size_t>(t * K + i)]; r >= 0)
          k.axpy_f32(s.routing.gates(t, i), out.row(r), y.row(t), D);
      if (shared.rows > 0) k.axpy_f32(1.0f, shared.row(t), y.row(t), D);
    }
  });
}

// Whether all of them are, the routed ones over rows of the same forms.
bool experts_packed(const Context& ctx, const MoeWeights& w) {
  const MlpWeights& first = w.experts[0];
  const auto has = [&](const MlpWeights& mlp) {
    return uses_packed(ctx, mlp) && row_form(mlp.gate_proj.dtype) == row_form(first.gate_proj.dtype) &&
           row_form(mlp.down_proj.dtype) == row_form(first.down_proj.dtype);
  };
  return std::all_of(w.experts.begin(), w.experts.end(), has) &&
         (!w.shared_experts.gate_proj || uses_packed(ctx, w.shared_experts));
}

// The outputs of the experts: rows of the dispatch, and of the shared experts those of x (none without them).
struct ExpertOutputs {
  MatView<float> routed, shared;
};

// All experts, the shared ones among them, in two sections: what goes in is rounded, then gate and up, then down. A
// single token is rounded once for all of its experts.
void run_packed_experts(Context& ctx, const MoeWeights& w, const Dispatch& d, MatView<const float> x,
                        const ExpertOutputs& out) {
  const Zone zone("experts", d.offsets.back());
  Arena::Scope scope(ctx.arena);
  std::vector<int64_t> counts;
  for (size_t e = 0; e + 1 < d.offsets.size(); ++e) counts.push_back(d.offsets[e + 1] - d.offsets[e]);
  const std::array one{x.rows};
  const bool single = x.rows == 1;
  const MlpWeights &first = w.experts[0], &shared = w.shared_experts;
  const RowForm form = row_form(first.gate_proj.dtype), shared_form = row_form(shared.gate_proj.dtype);
  const auto rounded = [&](std::span<const int64_t> rows, std::span<const int32_t> source, RowForm as) {
    QuantisedTiles tiles = plan_tiles(ctx.arena, rows, x.cols, as);
    quantise(ctx.pool, x, source, tiles);
    return tiles;
  };
  QuantisedTiles routed, whole;
  if (out.shared.rows > 0) whole = rounded(one, {}, shared_form);
  if (!single)
    routed = rounded(counts, d.token, form);
  else
    routed = out.shared.rows > 0 && shared_form == form ? whole : rounded(one, {}, form);
  PackedMlps experts;
  const QuantisedTiles act = plan_tiles(ctx.arena, counts, first.gate_proj.rows, row_form(first.down_proj.dtype));
  for (size_t i = 0; i < act.size(); ++i)
    experts.add(w.experts[static_cast<size_t>(act[i].group)], routed[single ? 0 : i].rows, act[i], out.routed);
  if (out.shared.rows > 0) {
    const QuantisedTiles shared_act =
        plan_tiles(ctx.arena, one, shared.gate_proj.rows, row_form(shared.down_proj.dtype));
    for (size_t i = 0; i < whole.size(); ++i) experts.add(shared, whole[i].rows, shared_act[i], out.shared);
  }
  experts.run(ctx.pool);
}

// The same in training; s.experts and s.shared are written.
void run_training_experts(Context& ctx, const MoeWeights& w, const MoeSaved& s, MatView<const float> x,
                          const ExpertOutputs& out) {
  const int64_t n_rows = out.routed.rows;
  const Zone zone("experts", n_rows);
  Arena::Scope scope(ctx.arena);
  const MatmulPrecision p = ctx.numerics.matmul_precision();
  const std::vector<int64_t>& offsets = s.dispatch.offsets;
  const MlpSaved saved = s.experts.sub_rows(0, n_rows);
  const AnyRows operand = as_operand(ctx, x), gathered = gathered_rows(ctx, s.dispatch, operand);
  if (const auto both = expert_weights(w, ExpertPart::gate_and_up); !both.empty()) {
    grouped_linear(ctx.pool, p, gathered, offsets, both, saved.both);
  } else {
    grouped_linear(ctx.pool, p, gathered, offsets, expert_weights(w, ExpertPart::gate), saved.gate());
    grouped_linear(ctx.pool, p, gathered, offsets, expert_weights(w, ExpertPart::up), saved.up());
  }
  const Operand act(ctx, n_rows, saved.gate().cols);
  gated_activation(ctx, saved, act);
  grouped_linear(ctx.pool, p, act.rows(), offsets, expert_weights(w, ExpertPart::down), out.routed);
  if (out.shared.rows > 0) training_mlp_forward(ctx, w.shared_experts, operand, out.shared, s.shared);
}

// The same, one product after the other. shared_saved: for the backward pass, or nullptr.
void run_float_experts(Context& ctx, const MoeWeights& w, const MoeSaved& s, MatView<const float> x,
                       const ExpertOutputs& out, MlpSaved* shared_saved) {
  const int64_t n_rows = out.routed.rows;
  const Zone zone("experts", n_rows);
  const MlpSaved saved = s.experts.sub_rows(0, n_rows);
  const MatView<float> gate = saved.gate(), up = saved.up();
  auto gathered = scratch(ctx, n_rows, x.cols), act = scratch(ctx, n_rows, gate.cols);
  gather_rows(ctx, s.dispatch, x, gathered);
  grouped(ctx, w, ExpertPart::gate, s.dispatch, gathered, gate);
  grouped(ctx, w, ExpertPart::up, s.dispatch, gathered, up);
  gated_activation(ctx, gate, up, act);
  grouped(ctx, w, ExpertPart::down, s.dispatch, act, out.routed);
  if (out.shared.rows > 0) mlp_forward(ctx, w.shared_experts, x, out.shared, shared_saved);
}

}  // namespace

void allocate_routing(Context& ctx, const ModelConfig& c, int64_t T, MoeSaved& s) {
  const int64_t K = c.num_experts_per_tok;
  s.scores = scratch(ctx, T, c.n_routed_experts);
  s.routing = {{ctx.arena.take<int32_t>(T * K), T, K}, {ctx.arena.take<float>(T * K), T, K}};
}

void allocate_moe_saved(Context& ctx, const ModelConfig& c, int64_t T, MoeSaved& s) {
  s.experts = allocate_mlp_saved(ctx, T * c.num_experts_per_tok, c.moe_intermediate_size);
  if (c.n_shared_experts > 0) s.shared = allocate_mlp_saved(ctx, T, c.n_shared_experts * c.moe_intermediate_size);
}

void moe_forward(Context& ctx, const ModelConfig& c, const MoeWeights& w, MatView<const float> x, MatView<float> y,
                 const MoeLayerTraining* training) {
  Arena::Scope scope(ctx.arena);
  const bool packed = training == nullptr && experts_packed(ctx, w);
  MoeSaved own;
  if (training == nullptr) {
    allocate_routing(ctx, c, x.rows, own);
    if (!packed) allocate_moe_saved(ctx, c, x.rows, own);
  }
  MoeSaved& s = training != nullptr ? training->saved : own;
  if (training == nullptr || !training->reuse_routing)
    route_and_dispatch(ctx, c, w, x, training != nullptr ? &training->all : nullptr, s);
  const ExpertOutputs out{scratch(ctx, s.dispatch.offsets.back(), x.cols),
                          scratch(ctx, c.n_shared_experts > 0 ? x.rows : 0, x.cols)};
  if (packed)
    run_packed_experts(ctx, w, s.dispatch, x, out);
  else if (ctx.numerics.is_training())
    run_training_experts(ctx, w, s, x, out);
  else
    run_float_experts(ctx, w, s, x, out, training != nullptr ? &s.shared : nullptr);
  combine(ctx, s, out.routed, out.shared, y);
  round_activations(ctx, y);
}

}  // namespace fathom
