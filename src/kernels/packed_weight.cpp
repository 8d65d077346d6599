#include "kernels/packed_weight.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "kernels/dispatch.h"
#include "quant/formats.h"

namespace fathom {
namespace {

// Four parts of a row: four times four columns, a byte each. What a strip keeps together are equal parts of its rows,
// so packing transposes, four rows at a time.
using Parts __attribute__((vector_size(16))) = uint32_t;

Parts load_parts(const void* bytes) noexcept {
  Parts v;
  std::memcpy(&v, bytes, sizeof v);
  return v;
}
void store(Parts v, uint8_t* out) noexcept { std::memcpy(out, &v, sizeof v); }

Parts all(uint32_t v) noexcept { return Parts{v, v, v, v}; }
uint32_t or_of(Parts v) noexcept { return v[0] | v[1] | v[2] | v[3]; }

constexpr uint32_t kLow = 0x0F0F0F0F;

// The low four bits of parts 0 .. 3 and, above them, of parts 4 .. 7.
template <class Block>
Parts low_bits(const Block& b, int block) noexcept {
  const auto halves = [](const uint8_t* q, bool upper) -> Parts {
    const Parts first = load_parts(q), last = load_parts(q + 16);
    return upper ? (first >> 4 & all(kLow)) | (last & all(~kLow)) : (first & all(kLow)) | (last & all(kLow)) << 4;
  };
  if constexpr (requires { b.ql; })
    return halves(b.ql + 64 * (block / 4) + 32 * (block % 2), block % 4 >= 2);
  else if constexpr (requires { b.dmin; })
    return halves(b.qs + 32 * (block / 2), block % 2 != 0);
  else
    return load_parts(b.qs);  // columns i and i + 16 share a byte in the file too
}

// The upper plane: fifth bits of all parts, bit p of a byte for part p.
template <class Block>
uint32_t fifth_bits(const Block& b, int block) noexcept {
  if constexpr (requires { b.dmin; }) {
    const auto bits = [&](int at) -> Parts {
      return load_parts(b.qh + at) >> all(static_cast<uint32_t>(block)) & all(0x01010101);
    };
    return or_of(bits(0) << Parts{0, 1, 2, 3} | bits(16) << Parts{4, 5, 6, 7});
  } else {
    uint32_t bits, plane = 0;  // bit i for column i; four of them become the low bits of four bytes
    std::memcpy(&bits, b.qh, sizeof bits);
    for (int p = 0; p < 8; ++p) plane |= ((bits >> (4 * p) & 15) * 0x00204081 & 0x01010101) << p;
    return plane;
  }
}

// Fifth and sixth bits of parts 0 .. 3 or 4 .. 7.
uint32_t upper_bits(const BlockQ6K& b, int block, int half) noexcept {
  const Parts bits = load_parts(b.qh + 32 * (block / 4) + 16 * half) >> all(static_cast<uint32_t>(2 * (block % 4)));
  return or_of((bits & all(0x03030303)) << Parts{0, 2, 4, 6});
}

// Parts 0 .. 3 of eight rows, to four planes.
void put_transposed(const Parts (&rows)[kStripRows], uint8_t* out) noexcept {
  for (int from = 0; from < kStripRows; from += 4, out += 16) {
    const Parts &a = rows[from], &b = rows[from + 1], &c = rows[from + 2], &d = rows[from + 3];
    const Parts ab = __builtin_shufflevector(a, b, 0, 4, 1, 5), cd = __builtin_shufflevector(c, d, 0, 4, 1, 5);
    const Parts ab2 = __builtin_shufflevector(a, b, 2, 6, 3, 7), cd2 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
    store(__builtin_shufflevector(ab, cd, 0, 1, 4, 5), out);
    store(__builtin_shufflevector(ab, cd, 2, 3, 6, 7), out + 32);
    store(__builtin_shufflevector(ab2, cd2, 0, 1, 4, 5), out + 64);
    store(__builtin_shufflevector(ab2, cd2, 2, 3, 6, 7), out + 96);
  }
}

// The codes of a block of eight rows.
template <class Block>
void put_codes(const Block (&rows)[kStripRows], int block, uint8_t* out) noexcept {
  constexpr int kBits = packed_format(Block::dtype)->bits;
  Parts parts[kStripRows];
  const auto put_plane = [&](int plane, auto word_of) {
    uint32_t words[kStripRows];
    for (int r = 0; r < kStripRows; ++r) words[r] = word_of(rows[r]);
    std::memcpy(out + 32 * plane, words, sizeof words);
  };
  if constexpr (kBits == 8) {
    for (int half = 0; half < 2; ++half) {
      for (int r = 0; r < kStripRows; ++r) parts[r] = load_parts(rows[r].qs + 16 * half);
      put_transposed(parts, out + 128 * half);
    }
  } else {
    for (int r = 0; r < kStripRows; ++r) parts[r] = low_bits(rows[r], block);
    put_transposed(parts, out);
    if constexpr (kBits == 5) put_plane(4, [&](const Block& b) { return fifth_bits(b, block); });
    if constexpr (kBits == 6)
      for (int half = 0; half < 2; ++half)
        put_plane(4 + half, [&](const Block& b) { return upper_bits(b, block, half); });
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
  Block blocks[kStripRows] = {};  // zero where there is no row
  for (int64_t u = 0; u < units; ++u, out += f.unit_bytes()) {
    for (int64_t r = 0; r < rows; ++r) blocks[r] = load_block<Block>(w.row(first + r), u);
    for (int64_t r = 0; r < kStripRows; ++r) put_header(blocks[r], r, out);
    for (int b = 0; b < f.blocks; ++b) put_codes(blocks, b, out + f.header + b * f.code_bytes());
  }
}

constexpr int kPartsBytes = 16;

// Sixteen bytes of each row at a time, in parts of four: put(parts, out).
template <class Put>
void put_row_bytes(const Weight& w, int64_t strip, int64_t begin, int64_t end, uint8_t* out, Put put) {
  const int64_t first = strip * kStripRows, rows = std::min(kStripRows, w.rows - first);
  Parts parts[kStripRows] = {};  // zero where there is no row
  for (int64_t at = begin; at < end; at += kPartsBytes, out += kPartsBytes * kStripRows) {
    for (int64_t r = 0; r < rows; ++r) parts[r] = load_parts(w.row(first + r) + at);
    put(parts, out);
  }
}

// Two, or four, columns of a part: from [row][column] to [column][row].
void put_halves(const Parts (&rows)[kStripRows], uint8_t* out) noexcept {
  using Halves __attribute__((vector_size(16))) = uint16_t;
  uint8_t planes[kPartsBytes * kStripRows];
  put_transposed(rows, planes);
  for (int at = 0; at < kPartsBytes * kStripRows; at += 2 * kPartsBytes) {
    const auto a = reinterpret_cast<Halves>(load_parts(planes + at)),
               b = reinterpret_cast<Halves>(load_parts(planes + at + kPartsBytes));
    const Halves even = __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14),
                 odd = __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15);
    std::memcpy(out + at, &even, sizeof even);
    std::memcpy(out + at + kPartsBytes, &odd, sizeof odd);
  }
}
void put_bytes(const Parts (&rows)[kStripRows], uint8_t* out) noexcept {
  using Bytes __attribute__((vector_size(16))) = uint8_t;
  uint8_t planes[kPartsBytes * kStripRows];
  put_transposed(rows, planes);
  for (int at = 0; at < kPartsBytes * kStripRows; at += 2 * kPartsBytes) {
    const auto a = reinterpret_cast<Bytes>(load_parts(planes + at)),
               b = reinterpret_cast<Bytes>(load_parts(planes + at + kPartsBytes));
    const Bytes first = __builtin_shufflevector(a, b, 0, 4, 8, 12, 16, 20, 24, 28, 1, 5, 9, 13, 17, 21, 25, 29),
                last = __builtin_shufflevector(a, b, 2, 6, 10, 14, 18, 22, 26, 30, 3, 7, 11, 15, 19, 23, 27, 31);
    std::memcpy(out + at, &first, sizeof first);
    std::memcpy(out + at + kPartsBytes, &last, sizeof last);
  }
}

// 256 times the scale of a row's unit: codes are multiplied as halves, which are 256 times smaller. NaN where one of
// the codes is.
float fp8_unit_scale(const Weight& w, int64_t row, int64_t unit) noexcept {
  constexpr int64_t kScaleBytes = 4;
  static_assert(kFloatUnit == kFp8Block);
  float scale = 1;
  if (w.scale_inv != nullptr)
    std::memcpy(&scale, w.scale_inv + ((w.first_row + row) / kFp8Block * w.scale_cols + unit) * kScaleBytes,
                kScaleBytes);
  const std::byte* codes = w.row(row) + unit * kFloatUnit;
  Parts nan = all(0);  // the top bit of every code whose other bits are set
  for (int64_t i = 0; i < kFloatUnit; i += kPartsBytes)
    nan |= (load_parts(codes + i) & all(0x7F7F7F7F)) + all(0x01010101);
  return (or_of(nan) & 0x80808080) != 0 ? std::numeric_limits<float>::quiet_NaN() : scale * 256;
}

void pack_fp8(const Weight& w, int64_t strip, uint8_t* out) {
  constexpr PackedFormat f = *packed_format(DType::f8_e4m3);
  const int64_t first = strip * kStripRows, rows = std::min(kStripRows, w.rows - first);
  for (int64_t u = 0; u < w.cols / kFloatUnit; ++u, out += f.unit_bytes()) {
    float scales[kStripRows] = {};
    for (int64_t r = 0; r < rows; ++r) scales[r] = fp8_unit_scale(w, first + r, u);
    std::memcpy(out, scales, sizeof scales);
    put_row_bytes(w, strip, u * kFloatUnit, (u + 1) * kFloatUnit, out + f.header, put_bytes);
  }
}

}  // namespace

RowForm row_form(DType dtype) noexcept {
  if (!is_floating(dtype)) return RowForm::bytes;
  return dtype == DType::bf16 && bf16_kernel() != nullptr ? RowForm::bf16 : RowForm::floats;
}

bool bf16_can_be_packed() noexcept {
  return bf16_kernel() != nullptr || gemm_kernel(MatmulPrecision::bf16).per_word == 1;
}

bool can_be_packed(const Weight& w) noexcept {
  return has_packed_form(w) && (w.dtype != DType::bf16 || bf16_can_be_packed());
}

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
    case DType::f32:
    case DType::bf16:
      return put_row_bytes(w, strip, 0, w.bytes_per_row(), bytes, put_transposed);
    case DType::f16:
      return put_row_bytes(w, strip, 0, w.bytes_per_row(), bytes, put_halves);
    case DType::f8_e4m3:
      return pack_fp8(w, strip, bytes);
    default:
      check(false, "pack_strip: a type that can be packed");
  }
}

}  // namespace fathom
