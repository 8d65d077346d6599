// What every layer is handed: threads, scratch memory, and the arithmetic of the pass.
#pragma once
#include <array>
#include <functional>
#include <span>

#include "base/arena.h"
#include "base/machine/threads.h"
#include "kernels/dispatch.h"
#include "kernels/matmul/float_matmul.h"
#include "kernels/matmul/packed_matmul.h"
#include "kernels/matmul/training_matmul.h"
#include "model/gradients.h"
#include "model/numerics.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

namespace fathom {

// Called after each matmul with a model weight, on the calling thread, outside sections of the pool: the hook of
// calibration. x (T, K); w (N, K) as it lies in ModelWeights; y (T, N). Matmuls inside attention's absorbed form are
// not seen; the naive form's are.
class MatmulObserver {
 public:
  virtual ~MatmulObserver() = default;
  virtual void on_matmul(const Weight& w, MatView<const float> x, MatView<const float> y) = 0;
};

// Rows of a step that follow each other, all of tokens for which has_many_rows() (batch.h) is `many`.
struct RowRun {
  int64_t n = 0;
  bool many = false;
};

struct Context {
  ThreadPool& pool;
  Arena& arena;
  Numerics numerics = Numerics::exact();
  const std::function<void(int64_t layers)>* layer_done = nullptr;  // called by the network's forward; may throw
  MatmulObserver* observer = nullptr;
  const Gradients* gradients = nullptr;  // backward: what gradients of weights are added to
  std::span<const RowRun> runs = {};     // the rows of the step, all of them, in order; empty: few
};

// y = x W^T in the arithmetic of ctx. Rounding of activations is the caller's.
//
// Inference by kernels/matmul/packed_matmul.h where the weight is packed and rounding is allowed, else by
// kernels/matmul/float_matmul.h, which streams a stored weight of any type once; training, and runs of many rows in
// quantised arithmetic with weights of bfloat16 that are not packed, by kernels/matmul/training_matmul.h, which packs
// the weight first. With ctx.runs, x has a row for each row of the step.
inline bool uses_packed(const Context& ctx, const Weight& w) noexcept {
  return ctx.numerics.is_quantised() && w.packed != nullptr && ctx.observer == nullptr;
}
// Whether this CPU multiplies bfloat16 faster than float32, so that many rows are rounded to it for weights that are of
// that type, and lose nothing.
inline bool rounds_many_rows() { return gemm_kernel(MatmulPrecision::bf16).per_word > 1; }
inline bool rounds_many_rows(const Weight& w) { return w.dtype == DType::bf16 && rounds_many_rows(); }
inline void linear_of_run(Context& ctx, bool many, MatView<const float> x, const Weight& w, MatView<float> y) {
  if (many && rounds_many_rows(w))
    linear(ctx.pool, MatmulPrecision::bf16, x, w, y);
  else
    matmul(ctx.pool, x, w, y);
}
inline void linear(Context& ctx, MatView<const float> x, const Weight& w, MatView<float> y) {
  if (uses_packed(ctx, w))
    packed_linear(ctx.pool, ctx.arena, x, std::array{PackedOutput{&w, y}});
  else if (ctx.numerics.is_training())
    linear(ctx.pool, ctx.numerics.matmul_precision(), x, w, y);
  else if (ctx.runs.empty() || !rounds_many_rows(w))  // all rows alike: the weight is read once
    matmul(ctx.pool, x, w, y);
  else
    for (int64_t first = 0; const RowRun& run : ctx.runs) {
      linear_of_run(ctx, run.many, x.sub_rows(first, run.n), w, y.sub_rows(first, run.n));
      first += run.n;
    }
  if (ctx.observer != nullptr) ctx.observer->on_matmul(w, x, y);
}
// Two layers that read the same x; over packed weights it is rounded once, and both run together.
inline void linear(Context& ctx, MatView<const float> x, const PackedOutput& a, const PackedOutput& b) {
  if (uses_packed(ctx, *a.w) && uses_packed(ctx, *b.w) && row_form(a.w->dtype) == row_form(b.w->dtype))
    return packed_linear(ctx.pool, ctx.arena, x, std::array{a, b});
  linear(ctx, x, *a.w, a.y);
  linear(ctx, x, *b.w, b.y);
}
inline void grouped_linear(Context& ctx, MatView<const float> x, std::span<const int64_t> offsets,
                           std::span<const Weight> weights, MatView<float> y) {
  if (!ctx.numerics.is_training())
    grouped_matmul(ctx.pool, x, offsets, weights, y);
  else
    grouped_linear(ctx.pool, ctx.numerics.matmul_precision(), x, offsets, weights, y);
  for (size_t e = 0; ctx.observer != nullptr && e < weights.size(); ++e)
    if (const int64_t first = offsets[e], n = offsets[e + 1] - first; n > 0)
      ctx.observer->on_matmul(weights[e], x.sub_rows(first, n), y.sub_rows(first, n));
}

// Whether training's products round what they multiply: what nothing else reads is then kept rounded.
inline bool rounds_operands(const Context& ctx) noexcept {
  return ctx.numerics.is_training() && ctx.numerics.matmul_precision() == MatmulPrecision::bf16;
}
// Uninitialised, until the caller's arena scope closes. Rows a page apart would share few lines of the first level
// cache: between such there is a line more.
inline MatView<uint16_t> bf16_scratch(Context& ctx, int64_t rows, int64_t cols) {
  const int64_t stride = cols % 2048 == 0 ? cols + 32 : cols;
  return {ctx.arena.take<uint16_t>(rows * stride), rows, cols, stride};
}
// x as an operand of several products: itself, or rounded, until the caller's arena scope closes.
inline AnyRows as_operand(Context& ctx, MatView<const float> x) {
  if (!rounds_operands(ctx)) return x;
  const MatView<uint16_t> rounded = bf16_scratch(ctx, x.rows, x.cols);
  const auto round_row = gemm_kernel(MatmulPrecision::bf16).round_row;
  ctx.pool.parallel_for(x.rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) round_row(x.row(t), x.cols, rounded.row(t));
  });
  return rounded;
}

// Backward of y = x W^T: dW (added to ctx.gradients, unless frozen) = dy^T x, and dx = dy W. The router computes in
// float32 whatever the precision of ctx is.
inline void linear_backward(Context& ctx, MatmulPrecision precision, const AnyRows& x, const Weight& w,
                            const AnyRows& dy, const InputGradient& out) {
  if (const MatView<float> dw = ctx.gradients->of(w); !dw.empty()) linear_dweight(ctx.pool, precision, dy, x, dw);
  linear_dinput(ctx.pool, precision, dy, w, out);
}
inline void linear_backward(Context& ctx, const AnyRows& x, const Weight& w, MatView<const float> dy,
                            const InputGradient& out) {
  Arena::Scope scope(ctx.arena);
  linear_backward(ctx, ctx.numerics.matmul_precision(), x, w, as_operand(ctx, dy), out);
}

// Uninitialised, until the caller's arena scope closes.
inline MatView<float> scratch(Context& ctx, int64_t rows, int64_t cols) {
  return {ctx.arena.take<float>(rows * cols), rows, cols};
}

// Rounds x to bfloat16 where the arithmetic of ctx keeps activations so.
inline void round_activations(Context& ctx, MatView<float> x) {
  if (!ctx.numerics.rounds_activations()) return;
  ctx.pool.parallel_for(x.rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t)
      for (float& value : x.vec(t)) value = bf16_to_f32(f32_to_bf16(value));
  });
}

}  // namespace fathom
