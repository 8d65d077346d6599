#include "model/moe/mlp.h"

#include <algorithm>
#include <array>

#include "kernels/rows/swiglu.h"

namespace fathom {

MlpSaved allocate_mlp_saved(Context& ctx, int64_t T, int64_t width) { return {scratch(ctx, T, 2 * width)}; }

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
  if (ctx.numerics.is_training()) return training_mlp_forward(ctx, w, as_operand(ctx, x), y, own);
  linear(ctx, x, w.gate_proj, own.gate());
  linear(ctx, x, w.up_proj, own.up());
  round_activations(ctx, own.gate());
  round_activations(ctx, own.up());
  auto act = saved != nullptr ? scratch(ctx, x.rows, w.gate_proj.rows) : own.gate();
  gated_activation(ctx, own.gate(), own.up(), act);
  linear(ctx, act, w.down_proj, y);
  round_activations(ctx, y);
}

Weight gate_and_up(const MlpWeights& w) noexcept {
  const Weight &gate = w.gate_proj, &up = w.up_proj;
  if (gate.dtype != up.dtype || gate.scale_inv != nullptr || up.data != gate.row(gate.rows)) return {};
  Weight both = gate;
  both.rows += up.rows;
  both.packed = nullptr;
  return both;
}

MatView<float> gate_and_up(const MlpWeights& w, const Gradients& gradients) {
  const MatView<float> gate = gradients.of(w.gate_proj), up = gradients.of(w.up_proj);
  if (gate.empty() || up.empty() || gate.stride != up.stride || up.data != gate.row(gate.rows)) return {};
  return {gate.data, gate.rows + up.rows, gate.cols, gate.stride};
}

namespace {

constexpr int64_t kPiece = 512;  // numbers of a row that are computed before they are rounded

}  // namespace

void gated_activation(Context& ctx, const MlpSaved& saved, const Operand& act) {
  const KernelTable& k = kernels();
  const MatView<const float> gate = saved.gate(), up = saved.up();
  ctx.pool.parallel_for(gate.rows, 1, [&](int64_t begin, int64_t end) {
    std::array<float, kPiece> piece;
    for (int64_t t = begin; t < end; ++t)
      for (int64_t at = 0; at < gate.cols; at += kPiece) {
        const int64_t n = std::min(kPiece, gate.cols - at);
        k.swiglu_row(gate.row(t) + at, up.row(t) + at, n, piece.data());
        act.set(t, at, n, piece.data());
      }
  });
}

void gated_activation_backward(const MlpSaved& saved, int64_t row, const float* dact, const Operand& dboth) noexcept {
  const KernelTable& k = kernels();
  const MatView<const float> gate = saved.gate(), up = saved.up();
  std::array<float, kPiece> dgate, dup;
  for (int64_t at = 0; at < gate.cols; at += kPiece) {
    const int64_t n = std::min(kPiece, gate.cols - at);
    k.swiglu_backward_row(gate.row(row) + at, up.row(row) + at, dact + at, n, dgate.data(), dup.data());
    dboth.set(row, at, n, dgate.data());
    dboth.set(row, gate.cols + at, n, dup.data());
  }
}

void training_mlp_forward(Context& ctx, const MlpWeights& w, const AnyRows& x, MatView<float> y,
                          const MlpSaved& saved) {
  Arena::Scope scope(ctx.arena);
  const MatmulPrecision p = ctx.numerics.matmul_precision();
  if (const Weight both = gate_and_up(w)) {
    linear(ctx.pool, p, x, both, saved.both);
  } else {
    linear(ctx.pool, p, x, w.gate_proj, saved.gate());
    linear(ctx.pool, p, x, w.up_proj, saved.up());
  }
  const Operand act(ctx, y.rows, w.gate_proj.rows);
  gated_activation(ctx, saved, act);
  linear(ctx.pool, p, act.rows(), w.down_proj, y);
}

// The forward list, reversed. act is computed again: reading gate and up is cheaper than keeping (T, F) more numbers.
void mlp_backward(Context& ctx, const MlpWeights& w, const MlpSaved& saved, const AnyRows& x, const AnyRows& dy,
                  const InputGradient& out) {
  Arena::Scope scope(ctx.arena);
  const MatmulPrecision p = ctx.numerics.matmul_precision();
  const int64_t T = x.rows(), F = w.gate_proj.rows;
  const auto dact = scratch(ctx, T, F);
  const Operand act(ctx, T, F), dboth(ctx, T, 2 * F);
  gated_activation(ctx, saved, act);
  linear_backward(ctx, p, act.rows(), w.down_proj, dy, into(dact));
  ctx.pool.parallel_for(T, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) gated_activation_backward(saved, t, dact.row(t), dboth);
  });
  const AnyRows d = dboth.rows();
  const Weight both = gate_and_up(w);
  if (const MatView<float> dw = gate_and_up(w, *ctx.gradients); both && !dw.empty()) {
    linear_dweight(ctx.pool, p, d, x, dw);
    linear_dinput(ctx.pool, p, d, both, out);
  } else {
    linear_backward(ctx, p, x, w.gate_proj, d.sub_cols(0, F), out);
    linear_backward(ctx, p, x, w.up_proj, d.sub_cols(F, F), added_to(out.dx));
  }
}

}  // namespace fathom
