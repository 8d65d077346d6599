// The definition of dot products and what is built of them. Plain loops, templated on the scalar so that tests can run
// them in double.
#pragma once
#include <cstdint>

namespace fathom::ref {

// sum of a[i] * x[i]
template <class T, class A>
T dot(const A* a, const T* x, int64_t n) noexcept {
  T sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += T(a[i]) * x[i];
  return sum;
}

// y[i] += alpha * x[i]
template <class T, class A>
void axpy(T alpha, const A* x, T* y, int64_t n) noexcept {
  for (int64_t i = 0; i < n; ++i) y[i] += alpha * T(x[i]);
}

// x[i] *= alpha
template <class T>
void scale(T alpha, T* x, int64_t n) noexcept {
  for (int64_t i = 0; i < n; ++i) x[i] *= alpha;
}

}  // namespace fathom::ref
