#include "kernels/packed_weight.h"

#include <algorithm>
#include <cstring>

#include "quant/formats.h"

namespace fathom {
namespace {

// Four columns of a row at a time, a byte each: what a strip keeps together.
uint32_t four(const uint8_t* bytes, int part) {
  uint32_t v;
  std::memcpy(&v, bytes + 4 * part, sizeof v);
  return v;
}

constexpr uint32_t kLow = 0x0F0F0F0F;

// Parts p and p + 4 of a block in one: the low four bits of both.
template <class Block>
uint32_t low_bits(const Block& b, int block, int p) {
  if constexpr (requires { b.ql; }) {
    const uint8_t* q = b.ql + 64 * (block / 4) + 32 * (block % 2);
    return block % 4 < 2 ? (four(q, p) & kLow) | (four(q, p + 4) & kLow) << 4
                         : (four(q, p) >> 4 & kLow) | (four(q, p + 4) & ~kLow);
  } else if constexpr (requires { b.dmin; }) {
    const uint8_t* q = b.qs + 32 * (block / 2);
    return block % 2 == 0 ? (four(q, p) & kLow) | (four(q, p + 4) & kLow) << 4
                          : (four(q, p) >> 4 & kLow) | (four(q, p + 4) & ~kLow);
  } else {
    return four(b.qs, p);  // columns i and i + 16 share a byte in the file too
  }
}

// The upper plane: fifth bits of all parts, bit p of a byte for part p.
template <class Block>
uint32_t fifth_bits(const Block& b, int block) {
  uint32_t plane = 0;
  if constexpr (requires { b.dmin; }) {
    for (int p = 0; p < 8; ++p) plane |= (four(b.qh, p) >> block & 0x01010101) << p;
  } else {
    const uint32_t bits = four(b.qh, 0);  // bit i for column i; four of them become the low bits of four bytes
    for (int p = 0; p < 8; ++p) plane |= ((bits >> (4 * p) & 15) * 0x00204081 & 0x01010101) << p;
  }
  return plane;
}

// Fifth and sixth bits of four parts, from `part` on.
uint32_t upper_bits(const BlockQ6K& b, int block, int part) {
  uint32_t plane = 0;
  for (int i = 0; i < 4; ++i)
    plane |= (four(b.qh + 32 * (block / 4), part + i) >> (2 * (block % 4)) & 0x03030303) << (2 * i);
  return plane;
}

template <class Block>
void put_codes(const Block& b, int block, int64_t row, uint8_t* out) {
  constexpr int kBits = packed_format(Block::dtype)->bits;
  const auto put = [&](int plane, uint32_t v) { std::memcpy(out + 32 * plane + 4 * row, &v, sizeof v); };
  if constexpr (kBits == 8) {
    for (int p = 0; p < 8; ++p) put(p, four(reinterpret_cast<const uint8_t*>(b.qs), p));
  } else {
    for (int p = 0; p < 4; ++p) put(p, low_bits(b, block, p));
    if constexpr (kBits == 5) put(4, fifth_bits(b, block));
    if constexpr (kBits == 6)
      for (int half = 0; half < 2; ++half) put(4 + half, upper_bits(b, block, 4 * half));
  }
}

void put_half(uint8_t* header, int64_t field, int64_t row, uint16_t half) {
  std::memcpy(header + (field * kStripRows + row) * 2, &half, sizeof half);
}

template <class Block>
void put_header(const Block& b, int64_t row, uint8_t* header) {
  put_half(header, 0, row, b.d);
  if constexpr (requires { b.m; }) put_half(header, 1, row, b.m);
  if constexpr (requires { b.dmin; }) {
    put_half(header, 1, row, b.dmin);
    for (int i = 0; i < 12; ++i) header[32 + i * kStripRows + row] = b.scales[i];
  } else if constexpr (requires { b.ql; }) {
    for (int i = 0; i < 16; ++i) header[16 + i * kStripRows + row] = static_cast<uint8_t>(b.scales[i]);
  }
}

template <class Block>
void pack(const Weight& w, int64_t strip, uint8_t* out) {
  constexpr PackedFormat f = *packed_format(Block::dtype);
  const int64_t first = strip * kStripRows, rows = std::min(kStripRows, w.rows - first);
  const int64_t units = w.cols / (f.blocks * kPackedBlock);
  if (rows < kStripRows) std::memset(out, 0, static_cast<size_t>(units * f.unit_bytes()));
  for (int64_t u = 0; u < units; ++u, out += f.unit_bytes())
    for (int64_t r = 0; r < rows; ++r) {
      const auto block = load_block<Block>(w.row(first + r), u);
      put_header(block, r, out);
      for (int b = 0; b < f.blocks; ++b) put_codes(block, b, r, out + f.header + b * f.code_bytes());
    }
}

}  // namespace

void pack_strip(const Weight& w, int64_t strip, std::byte* out) noexcept {
  auto* bytes = reinterpret_cast<uint8_t*>(out);
  switch (w.dtype) {
    case DType::q4_0:
      return pack<BlockQ4_0>(w, strip, bytes);
    case DType::q4_1:
      return pack<BlockQ4_1>(w, strip, bytes);
    case DType::q5_0:
      return pack<BlockQ5_0>(w, strip, bytes);
    case DType::q5_1:
      return pack<BlockQ5_1>(w, strip, bytes);
    case DType::q8_0:
      return pack<BlockQ8_0>(w, strip, bytes);
    case DType::q4_k:
      return pack<BlockQ4K>(w, strip, bytes);
    case DType::q5_k:
      return pack<BlockQ5K>(w, strip, bytes);
    case DType::q6_k:
      return pack<BlockQ6K>(w, strip, bytes);
    default:
      check(false, "pack_strip: a type that can be packed");
  }
}

}  // namespace fathom
