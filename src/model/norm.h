// RMSNorm with a stored gain of any element type.
#pragma once
#include "model/context.h"
#include "tensor/weight.h"

namespace fathom {

// y = rmsnorm(x) * weight, rounded to what ctx keeps. y may be x. In bfloat16 the normalised value is rounded before
// the gain is applied and the product once more, as transformers does.
void norm_forward(Context& ctx, const Weight& weight, double eps, MatView<const float> x, MatView<float> y);

// out.dx may be dy. The gain's gradient is added to ctx.gradients.
void norm_backward(Context& ctx, const Weight& weight, double eps, MatView<const float> x, MatView<const float> dy,
                   const InputGradient& out);

}  // namespace fathom
