// The gated activation of a feed-forward layer.
//     y = silu(gate) * up,    silu(g) = g / (1 + exp(-g))
// Source: arXiv:2002.05202.
#pragma once
#include "base/machine/threads.h"
#include "tensor/view.h"

namespace fathom {

// gate, up (T, F) read; y (T, F) written, may be gate or up. Elements are independent: the result does not depend on
// the number of threads. silu is within 4 units in the last place where it does not underflow; silu(-infinity) is NaN.
// Shapes are checked.
void swiglu_forward(ThreadPool& pool, MatView<const float> gate, MatView<const float> up, MatView<float> y) noexcept;

}  // namespace fathom
