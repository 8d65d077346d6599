// What every layer is handed: threads, scratch memory, and how activations are kept.
#pragma once
#include <array>
#include <functional>

#include "base/arena.h"
#include "base/machine/threads.h"
#include "kernels/matmul/float_matmul.h"
#include "kernels/matmul/packed_matmul.h"
#include "kernels/matmul/training_matmul.h"
#include "model/gradients.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

namespace fathom {

// f32: activations are float32. bf16: sums are still float32, but every result that a bfloat16 framework would store
// (embedding, norm, linear, rotation, attention output, residual) is rounded to bfloat16, so that logits can be
// compared with such a run.
enum class Activations : uint8_t { f32, bf16 };

// How much a product may round. exact: float32 operands everywhere, which is what the comparisons with other
// implementations need. fast: products with a quantised weight round each block of 32 activations to 8 bits, and
// attention rounds its operands to 16: less than such a weight, or a cache in bfloat16, has rounded already.
enum class Arithmetic : uint8_t { exact, fast };

// Is told of every product with a stored matrix after it was made: x (T, K), w (N, K) as it lies in ModelWeights, y (T,
// N). On the calling thread, outside sections of the pool. (Attention in its absorbed form multiplies inside them and
// is not seen; the expanded form is.)
class MatmulObserver {
 public:
  virtual ~MatmulObserver() = default;
  virtual void on_matmul(const Weight& w, MatView<const float> x, MatView<const float> y) = 0;
};

struct Context {
  ThreadPool& pool;
  Arena& arena;
  Activations activations = Activations::f32;
  MatmulPrecision products = MatmulPrecision::f32;  // bf16: large products round their operands to bfloat16 (training)
  Arithmetic arithmetic = Arithmetic::exact;
  const std::function<void(int64_t layers)>* layer_done = nullptr;  // called by the network's forward; may throw
  bool training = false;  // many rows, weights of a plain type: products and attention in large tiles
  MatmulObserver* observer = nullptr;
  const Gradients* gradients = nullptr;  // backward: what gradients of weights are added to
};

// y = x W^T with the products of ctx. Rounding of activations is the caller's.
//
// Inference by kernels/matmul/packed_matmul.h where the weight is packed and rounding is allowed, else by
// kernels/matmul/float_matmul.h, which streams a stored weight of any type once; training by
// kernels/matmul/training_matmul.h, which packs the weight first and is made for many rows.
inline bool uses_packed(const Context& ctx, const Weight& w) noexcept {
  return ctx.arithmetic == Arithmetic::fast && w.packed != nullptr && ctx.observer == nullptr;
}
inline void linear(Context& ctx, MatView<const float> x, const Weight& w, MatView<float> y) {
  if (uses_packed(ctx, w))
    packed_linear(ctx.pool, ctx.arena, x, std::array{PackedOutput{&w, y}});
  else if (!ctx.training)
    matmul(ctx.pool, x, w, y);
  else
    linear(ctx.pool, ctx.products, x, w, y);
  if (ctx.observer != nullptr) ctx.observer->on_matmul(w, x, y);
}
// Two layers that read the same x; over packed weights it is rounded once, and both run together.
inline void linear(Context& ctx, MatView<const float> x, const PackedOutput& a, const PackedOutput& b) {
  if (uses_packed(ctx, *a.w) && uses_packed(ctx, *b.w)) return packed_linear(ctx.pool, ctx.arena, x, std::array{a, b});
  linear(ctx, x, *a.w, a.y);
  linear(ctx, x, *b.w, b.y);
}
inline void grouped_linear(Context& ctx, MatView<const float> x, std::span<const int64_t> offsets,
                           std::span<const Weight> weights, MatView<float> y) {
  if (!ctx.training)
    grouped_matmul(ctx.pool, x, offsets, weights, y);
  else
    grouped_linear(ctx.pool, ctx.products, x, offsets, weights, y);
  for (size_t e = 0; ctx.observer != nullptr && e < weights.size(); ++e)
    if (const int64_t first = offsets[e], n = offsets[e + 1] - first; n > 0)
      ctx.observer->on_matmul(weights[e], x.sub_rows(first, n), y.sub_rows(first, n));
}

// Backward of y = x W^T: dW (added to ctx.gradients, unless frozen) = dy^T x, and dx = dy W. The router computes in
// float32 whatever the products of ctx are.
inline void linear_backward(Context& ctx, MatmulPrecision products, MatView<const float> x, const Weight& w,
                            MatView<const float> dy, const InputGradient& out) {
  if (const MatView<float> dw = ctx.gradients->of(w); !dw.empty()) linear_dweight(ctx.pool, products, dy, x, dw);
  linear_dinput(ctx.pool, products, dy, w, out);
}
inline void linear_backward(Context& ctx, MatView<const float> x, const Weight& w, MatView<const float> dy,
                            const InputGradient& out) {
  linear_backward(ctx, ctx.products, x, w, dy, out);
}

// Uninitialised, until the caller's arena scope closes.
inline MatView<float> scratch(Context& ctx, int64_t rows, int64_t cols) {
  return {ctx.arena.take<float>(rows * cols), rows, cols};
}

// Rounds x to what ctx.activations keeps; nothing for f32.
inline void round_activations(Context& ctx, MatView<float> x) {
  if (ctx.activations == Activations::f32) return;
  ctx.pool.parallel_for(x.rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t)
      for (float& value : x.vec(t)) value = bf16_to_f32(f32_to_bf16(value));
  });
}

}  // namespace fathom
