#include "quant/encode_k.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "quant/lanes.h"

// How the K formats are encoded. A super-block has an f16 scale d (and dmin); each of its groups of 16 or 32 elements a
// small integer scale (and min); each element a code. Three steps, each minimising the squared error with what was
// fixed before held:
//   1. per group, in real numbers: several grids are tried (the plain one, and ones that stretch or shrink it),
//   elements take the nearest
//      code, and the least-squares scale (and min) for these codes follows in closed form. The best of them is kept.
//   2. d (and dmin) make the largest group scale (and min) the largest integer; f16 rounds them.
//   3. per group: the integer scale (and min) nearest to step 1's, and codes that are nearest under these.
namespace fathom {
namespace {

float inverse_or_zero(float d) noexcept { return d == 0 ? 0.0f : 1 / d; }

// The nearest codes to v, in low .. high; NaN gives low.
Float4 nearest_codes(Float4 v, float low, float high) noexcept {
  return nearest4(min4(max4(v, splat4(low)), splat4(high)));
}

float nearest_code(float v, float low, float high) noexcept { return nearest_codes(splat4(v), low, high)[0]; }

// The grids of step 1: grid k of n has first + k * step more codes than the format.
struct Grids {
  int n;
  float first, step;
  float codes(float max_code, int k) const noexcept { return max_code + first + step * static_cast<float>(k); }
};

// Below this a group counts as constant: 1 / range must not overflow.
constexpr float kTiny = 0x1p-120f;

// x ~ scale * q - min,  q in 0 .. max_code,  scale >= 0, min >= 0.
struct AffineFit {
  float scale = 0, min = 0;
};

// Moments of the codes q of a group of n elements, and of their product with x - mean.
struct CodeSums {
  float q, qq, qx;
};

// The least-squares fit for given codes, and by how much it lowers the squared error below that of the constant `mean`.
struct Candidate {
  AffineFit fit;
  float gain = -1;
};
Candidate least_squares(const CodeSums& s, float n, float mean) noexcept {
  const float spread = s.qq - s.q * s.q / n;
  if (!(spread > 0) || !(s.qx > 0)) return {};
  const float scale = s.qx / spread, offset = mean - scale * s.q / n;
  if (offset <= 0) return {{scale, -offset}, s.qx * scale};
  const float qx = s.qx + mean * s.q;  // a positive offset cannot be stored: the fit through zero
  return {{qx / s.qq, 0}, qx * (qx / s.qq) - n * mean * mean};
}

template <size_t N>
AffineFit fit_affine(const float* x, float max_code, const Grids& grids) noexcept {
  Float4 lows{}, highs{}, sums{}, centred[N / 4];  // the range includes zero: min >= 0
  for (size_t i = 0; i < N / 4; ++i) {
    const Float4 v = load4(x + 4 * i);
    lows = min4(v, lows), highs = max4(v, highs), sums += v;
  }
  const float low = smallest(lows), range = largest(highs) - low, mean = sum(sums) / static_cast<float>(N);
  if (!(range > kTiny)) return {0, -low};
  for (size_t i = 0; i < N / 4; ++i) centred[i] = load4(x + 4 * i) - mean;
  Candidate best{{range / max_code, -low}, -1};
  for (int k = 0; k < grids.n; ++k) {
    const float inverse = grids.codes(max_code, k) / range;
    Float4 q_sum{}, qq{}, qx{};
    for (size_t i = 0; i < N / 4; ++i) {
      const Float4 q = nearest_codes((load4(x + 4 * i) - low) * inverse, 0, max_code);
      q_sum += q, qq += q * q, qx += q * centred[i];
    }
    const Candidate c = least_squares({sum(q_sum), sum(qq), sum(qx)}, static_cast<float>(N), mean);
    if (c.gain > best.gain) best = c;
  }
  return best.fit;
}

// The scale of x ~ scale * q,  q in -max_code - 1 .. max_code, of any sign: the element of largest magnitude takes the
// lowest code.
template <size_t N>
float fit_symmetric(const float* x, float max_code, const Grids& grids) noexcept {
  float extreme = 0;
  for (size_t i = 0; i < N; ++i) extreme = std::abs(x[i]) > std::abs(extreme) ? x[i] : extreme;
  if (!(std::abs(extreme) > kTiny)) return 0;
  float best = extreme / -(max_code + 1), best_gain = -1;
  for (int k = 0; k < grids.n; ++k) {
    const float inverse = -grids.codes(max_code + 1, k) / extreme;
    Float4 qq_sum{}, qx_sum{};
    for (size_t i = 0; i < N / 4; ++i) {
      const Float4 v = load4(x + 4 * i), q = nearest_codes(v * inverse, -max_code - 1, max_code);
      qq_sum += q * q, qx_sum += q * v;
    }
    const float qq = sum(qq_sum), qx = sum(qx_sum);
    if (qq > 0 && qx * (qx / qq) > best_gain) best_gain = qx * (qx / qq), best = qx / qq;
  }
  return best;
}

// Codes of one group under the scale and min that were stored: nearest to (x + min) / scale, stored from zero on.
template <size_t N>
void final_codes(const float* x, float scale, float min, float low, float high, uint8_t* q) noexcept {
  const float inverse = inverse_or_zero(scale);
  for (size_t i = 0; i < N; i += 4) {
    const Float4 codes = nearest_codes((load4(x + i) + min) * inverse, low, high) - low;
    for (size_t j = 0; j < 4; ++j) q[i + j] = static_cast<uint8_t>(static_cast<int>(codes[j]));
  }
}

struct AffineBlock {
  uint16_t d, dmin;
  std::array<uint8_t, 16> scale, min;
  std::array<uint8_t, kSuperBlock> q;
};

template <size_t N>
AffineBlock encode_affine(const float* x, float max_code, float max_scale, const Grids& grids) noexcept {
  constexpr size_t kGroups = kSuperBlock / N;
  std::array<AffineFit, kGroups> fits;
  float largest_scale = 0, largest_min = 0;
  for (size_t g = 0; g < kGroups; ++g) {
    fits[g] = fit_affine<N>(x + g * N, max_code, grids);
    largest_scale = std::max(largest_scale, fits[g].scale);
    largest_min = std::max(largest_min, fits[g].min);
  }
  AffineBlock b{};
  b.d = f32_to_f16(largest_scale / max_scale);
  b.dmin = f32_to_f16(largest_min / max_scale);
  const float d = f16_to_f32(b.d), dmin = f16_to_f32(b.dmin);
  const float inverse_d = inverse_or_zero(d), inverse_dmin = inverse_or_zero(dmin);
  for (size_t g = 0; g < kGroups; ++g) {
    const float scale = nearest_code(fits[g].scale * inverse_d, 0, max_scale);
    const float min = nearest_code(fits[g].min * inverse_dmin, 0, max_scale);
    b.scale[g] = static_cast<uint8_t>(scale);
    b.min[g] = static_cast<uint8_t>(min);
    final_codes<N>(x + g * N, d * scale, dmin * min, 0, max_code, b.q.data() + g * N);
  }
  return b;
}

struct SymmetricBlock {
  uint16_t d;
  std::array<int8_t, 16> scale;
  std::array<uint8_t, kSuperBlock> q;  // from 0 on
};

SymmetricBlock encode_symmetric(const float* x, float max_code, float max_scale, const Grids& grids) noexcept {
  std::array<float, 16> fits;
  float extreme = 0;
  for (size_t g = 0; g < 16; ++g) {
    fits[g] = fit_symmetric<16>(x + g * 16, max_code, grids);
    if (std::abs(fits[g]) > std::abs(extreme)) extreme = fits[g];
  }
  SymmetricBlock b{};
  b.d = f32_to_f16(extreme / -(max_scale + 1));
  const float d = f16_to_f32(b.d), inverse_d = inverse_or_zero(d);
  for (size_t g = 0; g < 16; ++g) {
    const float scale = nearest_code(fits[g] * inverse_d, -max_scale - 1, max_scale);
    b.scale[g] = static_cast<int8_t>(scale);
    final_codes<16>(x + g * 16, d * scale, 0, -max_code - 1, max_code, b.q.data() + g * 16);
  }
  return b;
}

}  // namespace

BlockQ2K encode_q2_k(const float* x) noexcept {
  const AffineBlock a = encode_affine<16>(x, 3, 15, {16, -0.5f, 0.1f});
  BlockQ2K b{};
  b.d = a.d;
  b.dmin = a.dmin;
  for (size_t g = 0; g < 16; ++g) b.scales[g] = static_cast<uint8_t>(a.scale[g] | a.min[g] << 4);
  for (size_t i = 0; i < 256; ++i) {
    uint8_t& byte = b.qs[i / 128 * 32 + i % 32];
    byte = static_cast<uint8_t>(byte | a.q[i] << (i % 128 / 32 * 2));
  }
  return b;
}

BlockQ3K encode_q3_k(const float* x) noexcept {
  const SymmetricBlock a = encode_symmetric(x, 3, 31, {16, -0.8f, 0.1f});
  BlockQ3K b{};
  b.d = a.d;
  uint8_t scales[16];
  for (size_t g = 0; g < 16; ++g) scales[g] = static_cast<uint8_t>(a.scale[g] + 32);
  pack_q3k_scales(scales, b.scales);
  for (size_t i = 0; i < 256; ++i) {
    uint8_t& low = b.qs[i / 128 * 32 + i % 32];
    low = static_cast<uint8_t>(low | (a.q[i] & 3) << (i % 128 / 32 * 2));
    uint8_t& high = b.hmask[i % 32];
    high = static_cast<uint8_t>(high | a.q[i] >> 2 << (i / 32));
  }
  return b;
}

namespace {

// What q4_k and q5_k share: the header and the low four bits.
template <class Block>
void pack_q45(const AffineBlock& a, Block& b) noexcept {
  b.d = a.d;
  b.dmin = a.dmin;
  uint8_t scale[8], min[8];
  std::copy_n(a.scale.begin(), 8, scale);
  std::copy_n(a.min.begin(), 8, min);
  pack_scale_min(scale, min, b.scales);
  for (size_t h = 0; h < 4; ++h)
    for (size_t i = 0; i < 32; ++i)
      b.qs[32 * h + i] = static_cast<uint8_t>((a.q[64 * h + i] & 15) | (a.q[64 * h + 32 + i] & 15) << 4);
}

}  // namespace

BlockQ4K encode_q4_k(const float* x) noexcept {
  BlockQ4K b{};
  pack_q45(encode_affine<32>(x, 15, 63, {16, -1.0f, 0.125f}), b);
  return b;
}

BlockQ5K encode_q5_k(const float* x) noexcept {
  const AffineBlock a = encode_affine<32>(x, 31, 63, {16, -0.9f, 0.1f});
  BlockQ5K b{};
  pack_q45(a, b);
  for (size_t g = 0; g < 8; ++g)
    for (size_t i = 0; i < 32; ++i) b.qh[i] = static_cast<uint8_t>(b.qh[i] | a.q[32 * g + i] >> 4 << g);
  return b;
}

BlockQ6K encode_q6_k(const float* x) noexcept {
  const SymmetricBlock a = encode_symmetric(x, 31, 127, {16, -0.8f, 0.1f});
  BlockQ6K b{};
  b.d = a.d;
  std::copy_n(a.scale.begin(), 16, b.scales);
  for (size_t h = 0; h < 2; ++h) {
    for (size_t i = 0; i < 32; ++i) {
      const uint8_t* q = a.q.data() + 128 * h + i;  // its quarters: q[0], q[32], q[64], q[96]
      b.ql[64 * h + i] = static_cast<uint8_t>((q[0] & 15) | (q[64] & 15) << 4);
      b.ql[64 * h + 32 + i] = static_cast<uint8_t>((q[32] & 15) | (q[96] & 15) << 4);
      b.qh[32 * h + i] = static_cast<uint8_t>(q[0] >> 4 | q[32] >> 4 << 2 | q[64] >> 4 << 4 | q[96] >> 4 << 6);
    }
  }
  return b;
}

}  // namespace fathom
