// exp in float, by a fixed sequence of correctly rounded operations, so that every instruction set gives the same bits.
//
//     exp(x) = 2^n * exp(r),   n = round(x / ln 2),   r = x - n ln 2,   |r| <= ln 2 / 2 (1 + 2^-20)
// exp(r) is its Taylor polynomial of degree 7: the rest is below r^8 / 8! (1 + ...) = 5.3e-9 relative, 0.05 units in
// the last place. r carries one rounding (ln 2 as a sum of two floats; the first product is exact in the fma), the last
// two steps of Horner's rule another 0.5 + 0.17. Within kExpUlp units in the last place of the true value, subnormal
// results too; over- and underflow go to infinity and zero where rounding to nearest does. exp(-inf) = 0, exp(inf) =
// inf, NaN stays NaN.
#pragma once
#include <bit>
#include <cmath>
#include <cstdint>

namespace fathom::ref {

inline constexpr double kExpUlp =
    1.0;  // tests/kernels/exp_test.cpp samples it; exhaustive over all floats when it was written

inline float exp(float x) noexcept {
  if (x != x) return x;
  x = x > 89.0f ? 89.0f : x;      // exp(89) = 4.5e38 rounds to infinity
  x = x < -104.0f ? -104.0f : x;  // exp(-104) = 6.8e-46 rounds to zero
  const float n = std::nearbyint(x * 1.44269504f);
  float r = std::fma(n, -0.693145752f, x);  // ln 2 in 15 bits
  r = std::fma(n, -1.42860677e-6f, r);      // the rest of it
  float p = 1.0f / 5040;
  p = std::fma(p, r, 1.0f / 720);
  p = std::fma(p, r, 1.0f / 120);
  p = std::fma(p, r, 1.0f / 24);
  p = std::fma(p, r, 1.0f / 6);
  p = std::fma(p, r, 0.5f);
  p = std::fma(p, r, 1.0f);
  p = std::fma(p, r, 1.0f);
  // 2^n as two factors that are normal numbers; the first product is exact, the second rounds once, also to a
  // subnormal.
  const int32_t i = static_cast<int32_t>(n), half = i >> 1;
  const auto power = [](int32_t e) { return std::bit_cast<float>((e + 127) << 23); };
  return p * power(half) * power(i - half);
}
inline double exp(double x) noexcept { return std::exp(x); }

}  // namespace fathom::ref
