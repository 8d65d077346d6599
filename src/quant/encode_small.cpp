#include "quant/encode_small.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "quant/group_fit.h"

// Search::plain is the numpy encoder of PyPI gguf, bit for bit (which has none for iq4_nl: that one always searches).
// Search::thorough fits scale (and min) to the weighted
// squared error, rounds them to f16, and takes the codes nearest under those.
namespace fathom {
namespace {

// Where numpy's encoder converts a float that no byte can hold (1 / d overflows for a subnormal d), x86 and truncate4()
// give 0.

float max_magnitude(const float* x) noexcept {
  Float4 m{};
  for (int64_t i = 0; i < kSmallBlock; i += 4) m = max4(abs4(load4(x + i)), m);
  return largest(m);
}

// The first element of largest magnitude, with its sign.
float extreme(const float* x) noexcept {
  const float magnitude = max_magnitude(x);
  for (int64_t i = 0; i < kSmallBlock; ++i)
    if (std::abs(x[i]) == magnitude) return x[i];
  return x[0];
}

struct Range {
  float min, max;
};
Range range_of(const float* x) noexcept {
  Float4 low = load4(x), high = low;
  for (int64_t i = 4; i < kSmallBlock; i += 4) low = min4(load4(x + i), low), high = max4(load4(x + i), high);
  return {smallest(low) + 0.0f, largest(high) + 0.0f};  // -0 becomes +0
}

// Codes of the 32-element formats: the low bytes of trunc(v), which lie in 0 .. max_code + 1.
using Codes = std::array<uint8_t, 32>;

void put_codes(Codes& codes, int64_t at, Float4 v, int max_code) noexcept {
  const Int4 q = truncate4(v);
  for (int k = 0; k < 4; ++k) codes[static_cast<size_t>(at + k)] = static_cast<uint8_t>(std::min(q[k] & 255, max_code));
}

// round(x / d) + offset
Codes codes_around_zero(const float* x, float d, int offset) noexcept {
  Codes codes;
  const float id = inverse_or_zero(d), shift = static_cast<float>(offset) + 0.5f;
  for (int64_t j = 0; j < 32; j += 4) put_codes(codes, j, load4(x + j) * id + shift, 2 * offset - 1);
  return codes;
}

// round((x - min) / d)
Codes codes_above_min(const float* x, float d, float min, int max_code) noexcept {
  Codes codes;
  const float id = inverse_or_zero(d);
  for (int64_t j = 0; j < 32; j += 4) put_codes(codes, j, (load4(x + j) - min) * id + 0.5f, max_code);
  return codes;
}

void pack_low_bits(const Codes& q, uint8_t (&qs)[16]) noexcept {
  for (size_t j = 0; j < 16; ++j) qs[j] = static_cast<uint8_t>((q[j] & 15) | (q[j + 16] & 15) << 4);
}

void pack_fifth_bits(const Codes& q, uint8_t (&qh)[4]) noexcept {
  uint32_t bits = 0;
  for (size_t j = 0; j < 32; ++j) bits |= static_cast<uint32_t>(q[j] >> 4) << j;
  std::memcpy(qh, &bits, sizeof(bits));
}

// From 0.78 to 1.4 times the format's number of codes: an element of little weight may be cut off.
Grids thorough_grids(float max_code) noexcept {
  return {.n = 32, .first = -0.22f * max_code, .step = 0.02f * max_code, .rounds = 4};
}

struct Symmetric {
  uint16_t d;
  Codes q;  // from 0 on
};
template <class Levels>
Symmetric search_symmetric(const float* x, const float* w, const Levels& levels, const Grids& grids,
                           bool both_signs) noexcept {
  Symmetric b;
  b.d = f32_to_f16(fit_symmetric<kSmallBlock>(x, w, levels, grids, both_signs));
  final_codes<kSmallBlock>(x, f16_to_f32(b.d), 0, levels, b.q.data());
  return b;
}
Symmetric search_symmetric(const float* x, const float* w, float max_code) noexcept {
  return search_symmetric(x, w, EvenLevels{-max_code - 1, max_code}, thorough_grids(max_code), true);
}

struct Affine {
  uint16_t d, m;
  Codes q;
};
Affine search_affine(const float* x, const float* w, float max_code) noexcept {
  const AffineFit fit = AffineSearch<kSmallBlock>(x, w, max_code, true).best(thorough_grids(max_code));
  Affine b;
  b.d = f32_to_f16(fit.scale);
  b.m = f32_to_f16(-fit.min);
  final_codes<kSmallBlock>(x, f16_to_f32(b.d), -f16_to_f32(b.m), EvenLevels{0, max_code}, b.q.data());
  return b;
}

Symmetric plain_symmetric(const float* x, int offset) noexcept {
  const float d = extreme(x) / static_cast<float>(-offset);
  return {f32_to_f16(d), codes_around_zero(x, d, offset)};
}

Affine plain_affine(const float* x, int max_code) noexcept {
  const Range r = range_of(x);
  const float d = (r.max - r.min) / static_cast<float>(max_code);
  return {f32_to_f16(d), f32_to_f16(r.min), codes_above_min(x, d, r.min, max_code)};
}

}  // namespace

BlockQ8_0 encode_q8_0(const float* x, const float* w, Search search) noexcept {
  BlockQ8_0 b;
  if (search == Search::thorough) {
    const Symmetric s = search_symmetric(x, w, 127);
    b.d = s.d;
    for (size_t j = 0; j < 32; ++j) b.qs[j] = static_cast<int8_t>(s.q[j] - 128);
    return b;
  }
  const float d = max_magnitude(x) / 127;
  const float id = inverse_or_zero(d);
  b.d = f32_to_f16(d);
  for (int j = 0; j < 32; j += 4) {
    const Int4 q = round_away4(load4(x + j) * id);
    for (int k = 0; k < 4; ++k) b.qs[j + k] = static_cast<int8_t>(q[k]);
  }
  return b;
}

BlockQ4_0 encode_q4_0(const float* x, const float* w, Search search) noexcept {
  const Symmetric s = search == Search::thorough ? search_symmetric(x, w, 7) : plain_symmetric(x, 8);
  BlockQ4_0 b;
  b.d = s.d;
  pack_low_bits(s.q, b.qs);
  return b;
}

BlockQ4_1 encode_q4_1(const float* x, const float* w, Search search) noexcept {
  const Affine a = search == Search::thorough ? search_affine(x, w, 15) : plain_affine(x, 15);
  BlockQ4_1 b;
  b.d = a.d;
  b.m = a.m;
  pack_low_bits(a.q, b.qs);
  return b;
}

BlockQ5_0 encode_q5_0(const float* x, const float* w, Search search) noexcept {
  const Symmetric s = search == Search::thorough ? search_symmetric(x, w, 15) : plain_symmetric(x, 16);
  BlockQ5_0 b;
  b.d = s.d;
  pack_low_bits(s.q, b.qs);
  pack_fifth_bits(s.q, b.qh);
  return b;
}

BlockIQ4NL encode_iq4_nl(const float* x, const float* w, Search search) noexcept {
  const bool thorough = search == Search::thorough;
  const Symmetric s =
      search_symmetric(x, w, Iq4Levels{}, thorough ? thorough_grids(Iq4Levels::high) : kIq4Grids, thorough);
  BlockIQ4NL b;
  b.d = s.d;
  pack_low_bits(s.q, b.qs);
  return b;
}

BlockQ5_1 encode_q5_1(const float* x, const float* w, Search search) noexcept {
  const Affine a = search == Search::thorough ? search_affine(x, w, 31) : plain_affine(x, 31);
  BlockQ5_1 b;
  b.d = a.d;
  b.m = a.m;
  pack_low_bits(a.q, b.qs);
  pack_fifth_bits(a.q, b.qh);
  return b;
}

}  // namespace fathom
