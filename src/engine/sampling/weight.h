// The weight of a candidate in a draw: a whole number, so that sums are exact and do not depend on their order.
#pragma once
#include <bit>
#include <cstdint>

namespace fathom {

// Sums of 2^21 weights stay below 2^63.
inline constexpr uint64_t kLargestWeight = uint64_t{1} << 42;  // at distance 0
inline constexpr int64_t kMostCandidates = int64_t{1} << 21;
inline constexpr float kFarthest = 29.75f;  // e^-29.75 is just above 2^-43; beyond it weights are 0

// e^-d in float32 for 0 <= d <= kFarthest, 0 beyond (infinity too), relative error below 2^-21. Additions and
// multiplications alone, in a fixed order, so that scalar and vectorised loops agree in every bit.
//     e^-d = 2^n e^r,  n = round(-d / ln 2),  r = -d - n ln 2,  |r| <= 0.35
inline float exp_minus(float d) noexcept {
  constexpr float kRound = 0x1.8p23f;  // added and taken away: rounds to a whole number
  const float shifted = d * -1.44269504f + kRound;
  const float n = shifted - kRound;
  const float r = (-d - n * 0.693359375f) - n * -2.12194440e-4f;  // ln 2 in two parts, the first exact in 9 bits
  // e^r up to r^7 / 7!, written out: a loop over the coefficients would keep the loops around it from being vectorised.
  float p = r * (1.0f / 5040) + 1.0f / 720;
  p = p * r + 1.0f / 120;
  p = p * r + 1.0f / 24;
  p = p * r + 1.0f / 6;
  p = p * r + 0.5f;
  p = p * r + 1.0f;
  p = p * r + 1.0f;
  const uint32_t exponent = std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(kRound);
  const uint32_t bits = std::bit_cast<uint32_t>(p) + (exponent << 23), kept = d <= kFarthest ? ~0u : 0u;
  return std::bit_cast<float>(bits & kept);  // of a choice between floats the compiler makes a branch
}

// round(2^42 x) for 0 <= x < 1024: the last bit of a double near 1024 is worth 2^-42.
inline uint64_t weight_units(float x) noexcept {
  return std::bit_cast<uint64_t>(static_cast<double>(x) + 1024.0) - std::bit_cast<uint64_t>(1024.0);
}

inline uint64_t weight_at(float distance) noexcept { return weight_units(exp_minus(distance)); }

}  // namespace fathom
