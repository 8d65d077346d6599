// The definition of the softmax of one row and of its parts.
#pragma once
#include <limits>

#include "kernels/ref/exp.h"

namespace fathom::ref {

// Largest of x, NaN passed over; -infinity when there is none.
template <class T>
T max(const T* x, int64_t n) noexcept {
  T largest = -std::numeric_limits<T>::infinity();
  for (int64_t i = 0; i < n; ++i)
    if (x[i] > largest) largest = x[i];
  return largest;
}

// x[i] = exp(x[i] - shift), in place; returns their sum.
template <class T>
T exp_sum(T* x, T shift, int64_t n) noexcept {
  T sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += x[i] = exp(x[i] - shift);
  return sum;
}

// x = exp(x - max x) / sum, in place; returns the sum.
template <class T>
T softmax(T* x, int64_t n) noexcept {
  const T sum = exp_sum(x, max(x, n), n);
  for (int64_t i = 0; i < n; ++i) x[i] /= sum;
  return sum;
}

}  // namespace fathom::ref
