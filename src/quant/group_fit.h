// Scales (and mins) of a group of N numbers that minimise the weighted squared error
//     sum w (x - y)^2,   y = scale * q - min   or   y = scale * level
// with each element at its nearest code q or level. Several grids are tried (the plain one, and ones that stretch or
// shrink it); for the codes of each the least-squares scale (and min) follows in closed form, and the best is kept.
// Used by the encoders (encode_k.cpp, encode_small.cpp); weights are finite and >= 0, and ones where nothing is known.
#pragma once
#include <array>
#include <cmath>
#include <cstdint>

#include "quant/formats.h"
#include "quant/lanes.h"
#include "quant/levels.h"

namespace fathom {

inline constexpr std::array<float, kSuperBlock> kEqualWeights = [] {
  std::array<float, kSuperBlock> ones{};
  for (float& w : ones) w = 1;
  return ones;
}();

inline float inverse_or_zero(float d) noexcept { return d == 0 ? 0.0f : 1 / d; }

// The nearest codes to v, in low .. high; NaN gives low.
inline Float4 nearest_codes(Float4 v, float low, float high) noexcept { return EvenLevels{low, high}.nearest(v); }
inline float nearest_code(float v, float low, float high) noexcept { return nearest_codes(splat4(v), low, high)[0]; }

// Grid k of n has first + k * step more codes than the format (or reaches as much beyond its outermost level).
// `rounds`: how often at most the best fit's own nearest codes are fitted again, which never makes it worse.
struct Grids {
  int n;
  float first, step;
  int rounds = 0;
  float codes(float max_code, int k) const noexcept { return max_code + first + step * static_cast<float>(k); }
};

// Of iq4_nl and iq4_xs without weights: the extreme element lies at 107 to 167 units, where the outermost level is 127.
inline constexpr Grids kIq4Grids{.n = 16, .first = -20, .step = 4};

// Below this a group counts as constant: 1 / range must not overflow.
inline constexpr float kTiny = 0x1p-120f;

// x ~ scale * q - min,  q in 0 .. max_code,  scale >= 0; min >= 0 unless it may be of any sign.
struct AffineFit {
  float scale = 0, min = 0;
};

// A fit, and by how much it lowers the squared error below that of the constant `mean`.
struct AffineCandidate {
  AffineFit fit;
  float gain = -1;
};

// Weighted moments of the codes q of a group, and of their product with x - mean; n: sum of the weights.
struct CodeSums {
  float n, q, qq, qx;
};

inline AffineCandidate least_squares(const CodeSums& s, float mean, bool any_min) noexcept {
  const float spread = s.qq - s.q * s.q / s.n;
  if (!(spread > 0) || !(s.qx > 0)) return {};
  const float scale = s.qx / spread, offset = mean - scale * s.q / s.n;
  if (offset <= 0 || any_min) return {{scale, -offset}, s.qx * scale};
  const float qx = s.qx + mean * s.q;  // a positive offset cannot be stored: the fit through zero
  return {{qx / s.qq, 0}, qx * (qx / s.qq) - s.n * mean * mean};
}

template <size_t N>
class AffineSearch {
 public:
  AffineSearch(const float* x, const float* w, float max_code, bool any_min) noexcept
      : x_(x), w_(w), max_code_(max_code), any_min_(any_min) {
    Float4 lows = any_min ? load4(x) : Float4{}, highs = lows, sums{}, weights{};  // else the range includes zero
    for (size_t i = 0; i < N; i += 4) {
      const Float4 v = load4(x + i);
      lows = min4(v, lows), highs = max4(v, highs), sums += v * load4(w + i), weights += load4(w + i);
    }
    low_ = smallest(lows), range_ = largest(highs) - low_, n_ = sum(weights), mean_ = sum(sums) / n_;
    for (size_t i = 0; i < N / 4; ++i) centred_[i] = load4(x + 4 * i) - mean_;
  }

  AffineFit best(const Grids& grids) const noexcept {
    if (!(range_ > kTiny)) return {0, -low_};
    AffineCandidate best{{range_ / max_code_, -low_}, -1};
    for (int k = 0; k < grids.n; ++k) improve(best, grids.codes(max_code_, k) / range_, low_);
    for (int k = 0; k < grids.rounds && best.fit.scale > kTiny; ++k)
      if (!improve(best, 1 / best.fit.scale, -best.fit.min)) break;
    return best.fit;
  }

 private:
  // The least-squares fit of the codes nearest to (x - low) * inverse.
  bool improve(AffineCandidate& best, float inverse, float low) const noexcept {
    Float4 q_sum{}, qq{}, qx{};
    for (size_t i = 0; i < N / 4; ++i) {
      const Float4 q = nearest_codes((load4(x_ + 4 * i) - low) * inverse, 0, max_code_), wq = q * load4(w_ + 4 * i);
      q_sum += wq, qq += wq * q, qx += wq * centred_[i];
    }
    const AffineCandidate c = least_squares({n_, sum(q_sum), sum(qq), sum(qx)}, mean_, any_min_);
    if (!(c.gain > best.gain)) return false;
    best = c;
    return true;
  }

  const float *x_, *w_;
  float max_code_, low_, range_, n_, mean_;
  bool any_min_;
  Float4 centred_[N / 4];
};

// The scale of x ~ scale * level, of any sign: the element of largest magnitude takes the lowest level, whose magnitude
// must be the largest; with both_signs the highest is tried too.
template <size_t N, class Levels>
float fit_symmetric(const float* x, const float* w, const Levels& levels, const Grids& grids,
                    bool both_signs) noexcept {
  float extreme = 0;
  for (size_t i = 0; i < N; ++i) extreme = std::abs(x[i]) > std::abs(extreme) ? x[i] : extreme;
  if (!(std::abs(extreme) > kTiny)) return 0;
  float best = extreme / levels.low, best_gain = -1;
  const auto improve = [&](float inverse) {
    Float4 qq_sum{}, qx_sum{};
    for (size_t i = 0; i < N; i += 4) {
      const Float4 v = load4(x + i), q = levels.nearest(v * inverse), wq = q * load4(w + i);
      qq_sum += wq * q, qx_sum += wq * v;
    }
    const float qq = sum(qq_sum), qx = sum(qx_sum);
    if (!(qq > 0 && qx * (qx / qq) > best_gain)) return false;
    best_gain = qx * (qx / qq), best = qx / qq;
    return true;
  };
  for (int k = 0; k < grids.n; ++k) improve(-grids.codes(-levels.low, k) / extreme);
  for (int k = 0; both_signs && k < grids.n; ++k) improve(grids.codes(levels.high, k) / extreme);
  for (int k = 0; k < grids.rounds && std::abs(best) > kTiny; ++k)
    if (!improve(1 / best)) break;
  return best;
}

// Codes of one group under the scale and min that were stored: of the levels nearest to (x + min) / scale.
template <size_t N, class Levels>
void final_codes(const float* x, float scale, float min, const Levels& levels, uint8_t* q) noexcept {
  const float inverse = inverse_or_zero(scale);
  for (size_t i = 0; i < N; i += 4) {
    const Float4 nearest = levels.nearest((load4(x + i) + min) * inverse);
    for (size_t j = 0; j < 4; ++j) q[i + j] = levels.code(nearest[j]);
  }
}

}  // namespace fathom
