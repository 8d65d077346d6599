// The definition of root-mean-square normalisation of one row. Source: arXiv:1910.07467, eq. 4.
#pragma once
#include <cmath>
#include <cstdint>

namespace fathom::ref {

// y[i] = x[i] * rstd * weight[i]; returns rstd = 1 / sqrt(mean(x^2) + eps). y may be x.
template <class T>
T rmsnorm(const T* x, const T* weight, T eps, int64_t n, T* y) noexcept {
  T sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += x[i] * x[i];
  const T rstd = T(1) / std::sqrt(sum / T(n) + eps);
  for (int64_t i = 0; i < n; ++i) y[i] = x[i] * rstd * weight[i];
  return rstd;
}

}  // namespace fathom::ref
