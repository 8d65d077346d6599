// Gradients of the row ops: root-mean-square norm, gated activation, cross-entropy. Definitions: ref/backward.h;
// derivations: docs/derivations/.
//
// Rows are independent and sums over rows run in row order, so nothing depends on the number of threads. Shapes are
// checked (check()); throws nothing.
#pragma once
#include <span>

#include "base/machine/threads.h"
#include "kernels/input_gradient.h"
#include "tensor/view.h"

namespace fathom {

// x, dy (T, D), weight (D) read; out.dx (T, D) may be dy; dweight (D) added to, or empty: it is not computed.
void rmsnorm_backward(ThreadPool& pool, MatView<const float> x, VecView<const float> weight, float eps,
                      MatView<const float> dy, const InputGradient& out, VecView<float> dweight) noexcept;

// gate, up, dy (T, F) read; dgate, dup (T, F) written, may be dy and up (in this order) or gate and up.
void swiglu_backward(ThreadPool& pool, MatView<const float> gate, MatView<const float> up, MatView<const float> dy,
                     MatView<float> dgate, MatView<float> dup) noexcept;

// For each row with target >= 0: losses[t] = log sum exp(logits[t]) - logits[t][target], and logits[t] becomes
// scale * weights[t] * (softmax - onehot); weights (T) may be empty: all 1. A row with a negative target counts for
// nothing: loss 0, gradient 0.
void cross_entropy_backward(ThreadPool& pool, MatView<float> logits, std::span<const int32_t> targets,
                            std::span<const float> weights, float scale, std::span<double> losses) noexcept;

// dtable[ids[t]] += dy[t], t in order. Columns are split over the threads.
void embedding_backward(ThreadPool& pool, std::span<const int32_t> ids, MatView<const float> dy,
                        MatView<float> dtable) noexcept;

}  // namespace fathom
