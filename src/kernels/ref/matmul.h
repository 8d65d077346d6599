// The definition of the matrix products. Rows are contiguous.
#pragma once
#include "kernels/ref/dot.h"

namespace fathom::ref {

// y = x W^T:  y[t][n] = sum over k of x[t][k] * w[n][k].   x (T, K), w (N, K), y (T, N)
template <class T, class W>
void matmul(const T* x, const W* w, T* y, int64_t n_tokens, int64_t n_rows, int64_t k) noexcept {
  for (int64_t t = 0; t < n_tokens; ++t)
    for (int64_t n = 0; n < n_rows; ++n) y[t * n_rows + n] = dot(w + n * k, x + t * k, k);
}

// y = x W:  y[t][k] = sum over n of x[t][n] * w[n][k], n in order.   x (T, N), w (N, K), y (T, K)
template <class T, class W>
void matmul_transposed(const T* x, const W* w, T* y, int64_t n_tokens, int64_t n_rows, int64_t k) noexcept {
  for (int64_t t = 0; t < n_tokens; ++t) {
    for (int64_t i = 0; i < k; ++i) y[t * k + i] = 0;
    for (int64_t n = 0; n < n_rows; ++n) axpy(x[t * n_rows + n], w + n * k, y + t * k, k);
  }
}

}  // namespace fathom::ref
