#include "model/norm.h"

#include <algorithm>
#include <array>

#include "kernels/matmul/float_matmul.h"
#include "kernels/rows/backward.h"
#include "kernels/rows/rmsnorm.h"

namespace fathom {
namespace {

VecView<float> gain_of(Context& ctx, const Weight& weight) {
  constexpr std::array<int32_t, 1> kFirstRow = {0};
  const VecView<float> gain(ctx.arena.take<float>(weight.cols), weight.cols);
  gather_rows(weight, kFirstRow, {gain.data, 1, gain.size});
  return gain;
}

}  // namespace

void norm_forward(Context& ctx, const Weight& weight, double eps, MatView<const float> x, MatView<float> y) {
  Arena::Scope scope(ctx.arena);
  const VecView<float> gain = gain_of(ctx, weight);
  if (!ctx.numerics.rounds_activations()) {
    rmsnorm_forward(ctx.pool, x, gain, static_cast<float>(eps), y);
    return;
  }
  const VecView<float> ones(ctx.arena.take<float>(weight.cols), weight.cols);
  std::fill(ones.begin(), ones.end(), 1.0f);
  rmsnorm_forward(ctx.pool, x, ones, static_cast<float>(eps), y);
  round_activations(ctx, y);
  for (int64_t t = 0; t < y.rows; ++t)
    for (int64_t i = 0; i < y.cols; ++i) y(t, i) *= gain[i];
  round_activations(ctx, y);
}

void norm_backward(Context& ctx, const Weight& weight, double eps, MatView<const float> x, MatView<const float> dy,
                   const InputGradient& out) {
  Arena::Scope scope(ctx.arena);
  rmsnorm_backward(ctx.pool, x, gain_of(ctx, weight), static_cast<float>(eps), dy, out,
                   ctx.gradients->vector_of(weight));
}

}  // namespace fathom
