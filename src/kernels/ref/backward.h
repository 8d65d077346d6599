// The definitions of the gradients of the row ops. dx is written, dweight is added to.
#pragma once
#include <cmath>
#include <cstdint>

#include "kernels/ref/exp.h"

namespace fathom::ref {

// y = x * rstd * weight, rstd = 1 / sqrt(mean(x^2) + eps):
//     dweight[i] += dy[i] * x[i] * rstd
//     dx[i] = rstd * (dy[i] * weight[i] - x[i] * rstd^2 * mean_j(dy[j] * weight[j] * x[j]))
template <class T>
void rmsnorm_backward(const T* x, const T* weight, T eps, const T* dy, int64_t n, T* dx, T* dweight) noexcept {
  T squares = 0, inner = 0;
  for (int64_t i = 0; i < n; ++i) {
    squares += x[i] * x[i];
    inner += dy[i] * weight[i] * x[i];
  }
  const T rstd = T(1) / std::sqrt(squares / T(n) + eps);
  const T pull = rstd * rstd * (inner / T(n));
  for (int64_t i = 0; i < n; ++i) {
    dweight[i] += dy[i] * x[i] * rstd;
    dx[i] = rstd * (dy[i] * weight[i] - x[i] * pull);
  }
}

// y = silu(gate) * up, s = 1 / (1 + exp(-gate)):  dgate = dy * up * s * (1 + gate * (1 - s)),  dup = dy * gate * s
template <class T>
void swiglu_backward(const T* gate, const T* up, const T* dy, int64_t n, T* dgate, T* dup) noexcept {
  for (int64_t i = 0; i < n; ++i) {
    const T g = gate[i], u = up[i], d = dy[i], s = T(1) / (T(1) + exp(-g));
    dgate[i] = d * u * s * (T(1) + g * (T(1) - s));
    dup[i] = d * g * s;
  }
}

// p = softmax(x):  dx[i] = p[i] * (dp[i] - sum_j dp[j] p[j]). dx may be dp.
template <class T>
void softmax_backward(const T* p, const T* dp, int64_t n, T* dx) noexcept {
  T inner = 0;
  for (int64_t j = 0; j < n; ++j) inner += dp[j] * p[j];
  for (int64_t i = 0; i < n; ++i) dx[i] = p[i] * (dp[i] - inner);
}

// The same of p = softmax(scale * x) where inner = sum_j dp[j] p[j] is known, in the place of dp.
template <class T>
void score_gradient(T scale, T inner, const T* p, int64_t n, T* dp) noexcept {
  for (int64_t i = 0; i < n; ++i) dp[i] = scale * (p[i] * (dp[i] - inner));
}

// loss = log(sum_j exp(logits[j])) - logits[target], returned; logits become scale * (softmax(logits) -
// onehot(target)), the gradient of scale * loss.
template <class T>
T cross_entropy(T* logits, int64_t target, T scale, int64_t n) noexcept {
  T largest = logits[0], sum = 0;
  for (int64_t i = 1; i < n; ++i)
    if (logits[i] > largest) largest = logits[i];
  for (int64_t i = 0; i < n; ++i) sum += exp(logits[i] - largest);
  const T log_sum = largest + std::log(sum), loss = log_sum - logits[target];
  for (int64_t i = 0; i < n; ++i) logits[i] = scale * exp(logits[i] - log_sum);
  logits[target] -= scale;
  return loss;
}

}  // namespace fathom::ref
