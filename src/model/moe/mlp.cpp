#include "model/moe/mlp.h"

#include <algorithm>

#include "kernels/rows/backward.h"
#include "kernels/rows/swiglu.h"

namespace fathom {

MlpSaved allocate_mlp_saved(Context& ctx, int64_t T, int64_t width) {
  return {scratch(ctx, T, width), scratch(ctx, T, width)};
}

void gated_activation(Context& ctx, MatView<const float> gate, MatView<const float> up, MatView<float> act) {
  if (!ctx.numerics.rounds_activations()) return swiglu_forward(ctx.pool, gate, up, act);
  // A bfloat16 framework stores silu(gate) before it multiplies.
  Arena::Scope scope(ctx.arena);
  auto ones = scratch(ctx, gate.rows, gate.cols), silu = scratch(ctx, gate.rows, gate.cols);
  for (int64_t t = 0; t < ones.rows; ++t) std::fill(ones.row(t), ones.row(t) + ones.cols, 1.0f);
  swiglu_forward(ctx.pool, gate, ones, silu);
  round_activations(ctx, silu);
  for (int64_t t = 0; t < act.rows; ++t)
    for (int64_t i = 0; i < act.cols; ++i) act(t, i) = silu(t, i) * up(t, i);
  round_activations(ctx, act);
}

namespace {

void packed_mlp_forward(Context& ctx, const MlpWeights& w, MatView<const float> x, MatView<float> y) {
  const std::array counts{x.rows};
  const QuantisedTiles tiles = plan_tiles(ctx.arena, counts, x.cols, row_form(w.gate_proj.dtype)),
                       act = plan_tiles(ctx.arena, counts, w.gate_proj.rows, row_form(w.down_proj.dtype));
  quantise(ctx.pool, x, {}, tiles);
  PackedMlps layer;
  for (size_t i = 0; i < tiles.size(); ++i) layer.add(w, tiles[i].rows, act[i], y);
  layer.run(ctx.pool);
}

}  // namespace

void PackedMlps::add(const MlpWeights& w, const QuantisedRows& x, const QuantisedTile& act, MatView<float> y) {
  gated_.push_back({x, &w.gate_proj, &w.up_proj, act.rows});
  down_.push_back({act.rows, &w.down_proj, y.sub_rows(act.first, act.rows.n)});
}

void PackedMlps::run(ThreadPool& pool) const {
  run_gated_matmuls(pool, gated_);
  run_packed_matmuls(pool, down_);
}

bool uses_packed(const Context& ctx, const MlpWeights& w) noexcept {
  return uses_packed(ctx, w.gate_proj) && uses_packed(ctx, w.up_proj) && uses_packed(ctx, w.down_proj) &&
         row_form(w.gate_proj.dtype) == row_form(w.up_proj.dtype) && w.gate_proj.rows % kPackedBlock == 0;
}

void mlp_forward(Context& ctx, const MlpWeights& w, MatView<const float> x, MatView<float> y, MlpSaved* saved) {
  Arena::Scope scope(ctx.arena);
  if (saved == nullptr && uses_packed(ctx, w)) return packed_mlp_forward(ctx, w, x, y);
  const MlpSaved own = saved != nullptr ? *saved : allocate_mlp_saved(ctx, x.rows, w.gate_proj.rows);
  linear(ctx, x, w.gate_proj, own.gate);
  linear(ctx, x, w.up_proj, own.up);
  round_activations(ctx, own.gate);
  round_activations(ctx, own.up);
  auto act = saved != nullptr ? scratch(ctx, x.rows, w.gate_proj.rows) : own.gate;
  gated_activation(ctx, own.gate, own.up, act);
  linear(ctx, act, w.down_proj, y);
  round_activations(ctx, y);
}

// The forward list, reversed. act is computed again: reading gate and up is cheaper than keeping (T, F) more numbers.
void mlp_backward(Context& ctx, const MlpWeights& w, const MlpSaved& saved, MatView<const float> x,
                  MatView<const float> dy, const InputGradient& out) {
  Arena::Scope scope(ctx.arena);
  const int64_t T = x.rows, F = w.gate_proj.rows;
  auto act = scratch(ctx, T, F), dgate = scratch(ctx, T, F), dup = scratch(ctx, T, F);
  gated_activation(ctx, saved.gate, saved.up, act);
  linear_backward(ctx, act, w.down_proj, dy, into(dgate));
  swiglu_backward(ctx.pool, saved.gate, saved.up, dgate, dgate, dup);
  linear_backward(ctx, x, w.gate_proj, dgate, out);
  linear_backward(ctx, x, w.up_proj, dup, added_to(out.dx));
}

}  // namespace fathom
