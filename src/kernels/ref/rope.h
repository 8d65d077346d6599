// The definition of rotary position embedding of one head. Source: arXiv:2104.09864, eq. 34.
#pragma once
#include <cstdint>

namespace fathom::ref {

// (a, b) -> (a cos - b sin, a sin + b cos) for n_pairs pairs; pair i is x[i * step], x[i * step + distance].
template <class T>
void rope(T* x, const T* cos, const T* sin, int64_t n_pairs, int64_t step, int64_t distance) noexcept {
  for (int64_t i = 0; i < n_pairs; ++i) {
    T& first = x[i * step];
    T& second = x[i * step + distance];
    const T a = first, b = second;
    first = a * cos[i] - b * sin[i];
    second = a * sin[i] + b * cos[i];
  }
}
// Pairs are neighbours: x[2i], x[2i+1].
template <class T>
void rope_interleaved(T* x, const T* cos, const T* sin, int64_t n_pairs) noexcept {
  rope(x, cos, sin, n_pairs, 2, 1);
}
// Pairs are half a head apart: x[i], x[i + n_pairs].
template <class T>
void rope_half_split(T* x, const T* cos, const T* sin, int64_t n_pairs) noexcept {
  rope(x, cos, sin, n_pairs, 1, n_pairs);
}

}  // namespace fathom::ref
