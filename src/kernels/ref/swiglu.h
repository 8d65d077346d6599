// The definition of the gated activation. Source: arXiv:2002.05202.
#pragma once
#include "kernels/ref/exp.h"

namespace fathom::ref {

// g / (1 + exp(-g)); exp overflows to infinity for g << 0 and the quotient to -0, its limit.
template <class T>
T silu(T g) noexcept {
  return g / (T(1) + exp(-g));
}

// y[i] = silu(gate[i]) * up[i]. y may be gate or up.
template <class T>
void swiglu(const T* gate, const T* up, int64_t n, T* y) noexcept {
  for (int64_t i = 0; i < n; ++i) y[i] = silu(gate[i]) * up[i];
}

}  // namespace fathom::ref
