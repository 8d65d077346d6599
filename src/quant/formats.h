// The block layouts of the quantised element types, as their bytes lie in a file (ggml-common.h of llama.cpp defines
// them).
//
// All multi-byte fields are little-endian; d, m, dmin are IEEE half. A block in a file need not be aligned: copy it
// with load_block() first. What the numbers mean: quant/decode.h.
#pragma once
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tensor/dtype.h"

namespace fathom {

static_assert(std::endian::native == std::endian::little, "file bytes are used as they are");

inline constexpr int64_t kSmallBlock = 32;   // elements of q8_0, q4_0, q4_1, q5_0, q5_1, iq4_nl
inline constexpr int64_t kSuperBlock = 256;  // elements of the K formats and iq4_xs

// x = d * q,  q in -128 .. 127
struct BlockQ8_0 {
  static constexpr DType dtype = DType::q8_0;
  uint16_t d;
  int8_t qs[32];
};

// x = d * (q - 8),  q in 0 .. 15.  Byte j holds element j in its low half and element j + 16 in its high half.
struct BlockQ4_0 {
  static constexpr DType dtype = DType::q4_0;
  uint16_t d;
  uint8_t qs[16];
};

// x = d * q + m,  q in 0 .. 15, halves as in q4_0.
struct BlockQ4_1 {
  static constexpr DType dtype = DType::q4_1;
  uint16_t d, m;
  uint8_t qs[16];
};

// x = d * (q - 16),  q in 0 .. 31: low four bits as in q4_0, bit j of the 32-bit qh is the fifth bit of element j.
struct BlockQ5_0 {
  static constexpr DType dtype = DType::q5_0;
  uint16_t d;
  uint8_t qh[4];
  uint8_t qs[16];
};

// x = d * q + m,  q in 0 .. 31 as in q5_0.
struct BlockQ5_1 {
  static constexpr DType dtype = DType::q5_1;
  uint16_t d, m;
  uint8_t qh[4];
  uint8_t qs[16];
};

// 16 groups of 16:  x = (d * scale) * q - (dmin * min),  q in 0 .. 3; scale and min are the low and high half of
// scales[group]. Element 128 h + 32 k + i is bits 2k, 2k+1 of qs[32 h + i].
struct BlockQ2K {
  static constexpr DType dtype = DType::q2_k;
  uint8_t scales[16];
  uint8_t qs[64];
  uint16_t d, dmin;
};

// 16 groups of 16:  x = (d * (scale - 32)) * (q - 4),  q in 0 .. 7: two low bits as in q2_k; the third is bit 4 h + k
// of hmask[i]. scales: 16 numbers of 6 bits. Low four bits: byte j holds group j (low half) and group j + 8 (high
// half), j in 0 .. 7; upper two bits: byte 8 + j holds groups j, j + 4, j + 8, j + 12 from its low end, j in 0 .. 3.
struct BlockQ3K {
  static constexpr DType dtype = DType::q3_k;
  uint8_t hmask[32];
  uint8_t qs[64];
  uint8_t scales[12];
  uint16_t d;
};

// 8 groups of 32:  x = (d * scale) * q - (dmin * min),  q in 0 .. 15.  Byte 32 h + i of qs holds element 64 h + i in
// its low half and element 64 h + 32 + i in its high half. scales: unpack_scale_min() below.
struct BlockQ4K {
  static constexpr DType dtype = DType::q4_k;
  uint16_t d, dmin;
  uint8_t scales[12];
  uint8_t qs[128];
};

// As q4_k with q in 0 .. 31: bit g of qh[i] is the fifth bit of element 32 g + i.
struct BlockQ5K {
  static constexpr DType dtype = DType::q5_k;
  uint16_t d, dmin;
  uint8_t scales[12];
  uint8_t qh[32];
  uint8_t qs[128];
};

// 16 groups of 16:  x = (d * scale) * (q - 32),  q in 0 .. 63.  Of element 128 h + 32 k + i (k in 0 .. 3): the low four
// bits are the low (k < 2) or high half of ql[64 h + 32 (k & 1) + i]; the upper two are bits 2k, 2k+1 of qh[32 h + i].
struct BlockQ6K {
  static constexpr DType dtype = DType::q6_k;
  uint8_t ql[128];
  uint8_t qh[64];
  int8_t scales[16];
  uint16_t d;
};

// What a code of iq4_nl and iq4_xs stands for: closer together where weights are many.
inline constexpr std::array<int8_t, 16> kIq4Levels = {-127, -104, -83, -65, -49, -35, -22, -10,
                                                      1,    13,   25,  38,  53,  69,  89,  113};

// x = d * kIq4Levels[q],  q in 0 .. 15, halves as in q4_0.
struct BlockIQ4NL {
  static constexpr DType dtype = DType::iq4_nl;
  uint16_t d;
  uint8_t qs[16];
};

// 8 groups of 32:  x = (d * (scale - 32)) * kIq4Levels[q].  Bytes 16 g .. 16 g + 15 of qs are group g, halves as in
// q4_0. scale, 6 bits: the low four are half g % 2 of scales_l[g / 2], the upper two are bits 2g, 2g + 1 of scales_h.
struct BlockIQ4XS {
  static constexpr DType dtype = DType::iq4_xs;
  uint16_t d;
  uint16_t scales_h;
  uint8_t scales_l[4];
  uint8_t qs[128];
};

template <class Block>
constexpr bool fits_the_table = sizeof(Block) == static_cast<size_t>(info(Block::dtype).block_bytes);
static_assert(fits_the_table<BlockQ8_0> && fits_the_table<BlockQ4_0> && fits_the_table<BlockQ4_1>);
static_assert(fits_the_table<BlockQ5_0> && fits_the_table<BlockQ5_1>);
static_assert(fits_the_table<BlockQ2K> && fits_the_table<BlockQ3K> && fits_the_table<BlockQ4K>);
static_assert(fits_the_table<BlockQ5K> && fits_the_table<BlockQ6K>);
static_assert(fits_the_table<BlockIQ4NL> && fits_the_table<BlockIQ4XS>);

// Block number `i` of those that start at `bytes`, aligned or not.
template <class Block>
Block load_block(const std::byte* bytes, int64_t i) noexcept {
  Block block;
  std::memcpy(&block, bytes + i * static_cast<int64_t>(sizeof(Block)), sizeof(Block));
  return block;
}

// The 8 scales and 8 mins of q4_k and q5_k, 6 bits each, from their 12 bytes: groups 0 .. 3 are the low six bits of
// bytes g (scale) and 4 + g (min); groups 4 .. 7 take their low four bits from the halves of byte 4 + g and their upper
// two from the top of bytes g - 4, g.
constexpr void unpack_scale_min(const uint8_t (&packed)[12], uint8_t (&scale)[8], uint8_t (&min)[8]) noexcept {
  for (int g = 0; g < 4; ++g) {
    scale[g] = packed[g] & 63;
    min[g] = packed[g + 4] & 63;
    scale[g + 4] = static_cast<uint8_t>((packed[g + 8] & 15) | (packed[g] >> 6 << 4));
    min[g + 4] = static_cast<uint8_t>((packed[g + 8] >> 4) | (packed[g + 4] >> 6 << 4));
  }
}

// The inverse; every number must be below 64.
constexpr void pack_scale_min(const uint8_t (&scale)[8], const uint8_t (&min)[8], uint8_t (&packed)[12]) noexcept {
  for (int g = 0; g < 4; ++g) {
    packed[g] = static_cast<uint8_t>(scale[g] | (scale[g + 4] >> 4 << 6));
    packed[g + 4] = static_cast<uint8_t>(min[g] | (min[g + 4] >> 4 << 6));
    packed[g + 8] = static_cast<uint8_t>((scale[g + 4] & 15) | (min[g + 4] & 15) << 4);
  }
}

// The 16 scales of q3_k, 0 .. 63 each (32 means zero), from and to their 12 bytes.
constexpr void unpack_q3k_scales(const uint8_t (&packed)[12], uint8_t (&scale)[16]) noexcept {
  for (int g = 0; g < 16; ++g) {
    const int low = g < 8 ? packed[g] & 15 : packed[g - 8] >> 4;
    const int high = packed[8 + g % 4] >> (g / 4 * 2) & 3;
    scale[g] = static_cast<uint8_t>(low | high << 4);
  }
}
constexpr void pack_q3k_scales(const uint8_t (&scale)[16], uint8_t (&packed)[12]) noexcept {
  for (uint8_t& byte : packed) byte = 0;
  for (int g = 0; g < 16; ++g) {
    packed[g % 8] = static_cast<uint8_t>(packed[g % 8] | (scale[g] & 15) << (g / 8 * 4));
    packed[8 + g % 4] = static_cast<uint8_t>(packed[8 + g % 4] | scale[g] >> 4 << (g / 4 * 2));
  }
}

// The scale of group g of iq4_xs, 0 .. 63 (32 means zero), from and to its block.
constexpr uint8_t unpack_iq4_scale(const BlockIQ4XS& b, int g) noexcept {
  return static_cast<uint8_t>((b.scales_l[g / 2] >> (g % 2 * 4) & 15) | (b.scales_h >> (2 * g) & 3) << 4);
}
constexpr void put_iq4_scale(BlockIQ4XS& b, int g, uint8_t scale) noexcept {
  b.scales_l[g / 2] = static_cast<uint8_t>(b.scales_l[g / 2] | (scale & 15) << (g % 2 * 4));
  b.scales_h = static_cast<uint16_t>(b.scales_h | scale >> 4 << (2 * g));
}

}  // namespace fathom
