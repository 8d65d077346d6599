// Four floats at a time, in the compilers' own vector notation (gcc, clang): compiles to SSE, NEON or plain code,
// always with the same results. For encoders, which must be fast without being compiled for one instruction set.
#pragma once
#include <cstddef>
#include <cstring>

namespace fathom {

using Float4 = float __attribute__((vector_size(16)));
using Int4 = int __attribute__((vector_size(16)));

inline Float4 load4(const float* p) noexcept {
  Float4 v;
  std::memcpy(&v, p, sizeof(v));
  return v;
}

inline Float4 splat4(float f) noexcept { return Float4{f, f, f, f}; }

inline float sum(Float4 v) noexcept { return (v[0] + v[2]) + (v[1] + v[3]); }
inline float smallest(Float4 v) noexcept {
  const float a = v[0] < v[1] ? v[0] : v[1], b = v[2] < v[3] ? v[2] : v[3];
  return a < b ? a : b;
}
inline float largest(Float4 v) noexcept { return -smallest(-v); }

// NaN in `a` gives `b`.
inline Float4 min4(Float4 a, Float4 b) noexcept { return a < b ? a : b; }
inline Float4 max4(Float4 a, Float4 b) noexcept { return a > b ? a : b; }
inline Float4 abs4(Float4 v) noexcept { return v < 0 ? -v : v; }

// To the nearest integer, ties to even; |v| < 2^22. Adding 1.5 x 2^23 leaves a float no bits for a fraction.
inline Float4 nearest4(Float4 v) noexcept { return (v + 12582912.0f) - 12582912.0f; }

// Towards zero. What does not fit an int (NaN too) becomes 0, whose low byte is that of x86's conversion.
inline Int4 truncate4(Float4 v) noexcept { return __builtin_convertvector(abs4(v) < 0x1p30f ? v : splat4(0), Int4); }

// Ties away from zero, as roundf. The addend is the float before 0.5: with 0.5 itself, 0.49999997 would become 1.
inline Int4 round_away4(Float4 v) noexcept { return truncate4(v < 0 ? v - 0x1.fffffep-2f : v + 0x1.fffffep-2f); }

}  // namespace fathom
