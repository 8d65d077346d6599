// Loops that are written out. Included inside the anonymous namespace of an instruction set (simd/avx512.h).
#pragma once

// f(0), ..., f(N-1), written out: arrays indexed by such constants are registers, while those of a loop that is
// unrolled later also keep a copy in memory (gcc 12).
template <class F, int... I>
[[gnu::always_inline]] inline void each_of(F f, std::integer_sequence<int, I...>) noexcept {
  (f(I), ...);
}
template <int N, class F>
[[gnu::always_inline]] inline void unroll(F f) noexcept {
  each_of(f, std::make_integer_sequence<int, N>{});
}
