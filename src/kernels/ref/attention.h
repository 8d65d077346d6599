// The definition of causal softmax attention of one head over one sequence, and its gradient. Rows have strides.
//     s_tj = scale <q_t, k_j>, j <= t;   p_t = softmax(s_t);   o_t = sum_j p_tj v_j;   lse_t = log sum_j exp(s_tj)
// Gradient (arXiv:2205.14135, appendix B.2), with D_t = <do_t, o_t>:
//     dv_j += sum_t p_tj do_t;   ds_tj = p_tj (<do_t, v_j> - D_t);   dq_t += scale sum_j ds_tj k_j;   dk_j += scale
//     sum_t ds_tj q_t
#pragma once
#include <cmath>
#include <vector>

#include "kernels/ref/softmax.h"
#include "tensor/view.h"

namespace fathom::ref {

template <class T>
T inner(const T* a, const T* b, int64_t n) noexcept {
  T sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += a[i] * b[i];
  return sum;
}

// q, k (n, d), v (n, dv) read; o (n, dv), lse (n) written.
template <class T>
void attention(MatView<const T> q, MatView<const T> k, MatView<const T> v, T scale, MatView<T> o, T* lse) {
  std::vector<T> p(static_cast<size_t>(q.rows));
  for (int64_t t = 0; t < q.rows; ++t) {
    for (int64_t j = 0; j <= t; ++j) p[static_cast<size_t>(j)] = scale * inner(q.row(t), k.row(j), q.cols);
    const T largest = max(p.data(), t + 1), sum = softmax(p.data(), t + 1);
    lse[t] = largest + std::log(sum);
    for (int64_t i = 0; i < v.cols; ++i) o(t, i) = 0;
    for (int64_t j = 0; j <= t; ++j)
      for (int64_t i = 0; i < v.cols; ++i) o(t, i) += p[static_cast<size_t>(j)] * v(j, i);
  }
}

// dq, dk, dv are added to.
template <class T>
void attention_backward(MatView<const T> q, MatView<const T> k, MatView<const T> v, T scale, MatView<const T> o,
                        const T* lse, MatView<const T> d_o, MatView<T> dq, MatView<T> dk, MatView<T> dv) {
  for (int64_t t = 0; t < q.rows; ++t) {
    const T D = inner(d_o.row(t), o.row(t), v.cols);
    for (int64_t j = 0; j <= t; ++j) {
      const T p = std::exp(scale * inner(q.row(t), k.row(j), q.cols) - lse[t]);
      const T ds = scale * p * (inner(d_o.row(t), v.row(j), v.cols) - D);
      for (int64_t i = 0; i < v.cols; ++i) dv(j, i) += p * d_o(t, i);
      for (int64_t i = 0; i < q.cols; ++i) {
        dq(t, i) += ds * k(j, i);
        dk(j, i) += ds * q(t, i);
      }
    }
  }
}

}  // namespace fathom::ref
