#include "quant/encode_k.h"

#include <algorithm>

#include "quant/super_block.h"

namespace fathom {

BlockQ2K encode_q2_k(const float* x, const float* w, Search search) noexcept {
  const AffineBlock a = encode_affine<16>(x, w, {3, 15, {16, -0.5f, 0.1f}}, search);
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

BlockQ3K encode_q3_k(const float* x, const float* w, Search search) noexcept {
  const SymmetricBlock a = encode_symmetric<16>(x, w, EvenLevels{-4, 3}, {3, 31, {16, -0.8f, 0.1f}}, search);
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

BlockQ4K encode_q4_k(const float* x, const float* w, Search search) noexcept {
  BlockQ4K b{};
  pack_q45(encode_affine<32>(x, w, {15, 63, {16, -1.0f, 0.125f}}, search), b);
  return b;
}

BlockQ5K encode_q5_k(const float* x, const float* w, Search search) noexcept {
  const AffineBlock a = encode_affine<32>(x, w, {31, 63, {16, -0.9f, 0.1f}}, search);
  BlockQ5K b{};
  pack_q45(a, b);
  for (size_t g = 0; g < 8; ++g)
    for (size_t i = 0; i < 32; ++i) b.qh[i] = static_cast<uint8_t>(b.qh[i] | a.q[32 * g + i] >> 4 << g);
  return b;
}

BlockQ6K encode_q6_k(const float* x, const float* w, Search search) noexcept {
  const SymmetricBlock a = encode_symmetric<16>(x, w, EvenLevels{-32, 31}, {31, 127, {16, -0.8f, 0.1f}}, search);
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

BlockIQ4XS encode_iq4_xs(const float* x, const float* w, Search search) noexcept {
  const SymmetricBlock a = encode_symmetric<32>(x, w, Iq4Levels{}, {Iq4Levels::high, 31, kIq4Grids}, search);
  BlockIQ4XS b{};
  b.d = a.d;
  for (int g = 0; g < 8; ++g) put_iq4_scale(b, g, static_cast<uint8_t>(a.scale[static_cast<size_t>(g)] + 32));
  for (size_t g = 0; g < 8; ++g)
    for (size_t j = 0; j < 16; ++j)
      b.qs[16 * g + j] = static_cast<uint8_t>(a.q[32 * g + j] | a.q[32 * g + j + 16] << 4);
  return b;
}

}  // namespace fathom
