// Quantised weights laid out for integer products: eight rows side by side, called a strip.
//
// The codes of a weight are repacked without change, so a strip means what its rows mean (quant/decode.h). One layout
// for every instruction set: a register of 32 bytes holds four columns of eight rows, and no sum crosses lanes. For
// each block of 32 columns:
//     codes      [part][row][4 columns], part p holding columns 4p .. 4p+3; the low four bits of parts p and p + 4
//     share
//                a byte (32 bytes for p = 0 .. 3), then fifth bits (32 bytes, bit p of a byte for part p) or fifth and
//                sixth bits (64 bytes, bits 2 (p % 4), 2 (p % 4) + 1 of byte 32 (p / 4) + i); 8-bit codes as they are
// A unit is a block, or eight blocks for the K formats, and begins with what its rows are scaled by, [field][row]:
//     q4_0 q5_0 q8_0   d (half)
//     q4_1 q5_1        d, m (half)
//     q4_k q5_k        d, dmin (half), the 12 bytes of scales and mins
//     q6_k             d (half), the 16 scales (int8)
// Bytes a weight are those of the file's format. Rows past the end of a matrix have scales of zero.
//
// A product with them (KernelTable::packed_product) takes activations of 8 bits, also in blocks of 32 with a scale
// each.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>

#include "tensor/view.h"
#include "tensor/weight.h"

namespace fathom {

inline constexpr int64_t kStripRows = 8;
inline constexpr int64_t kPackedBlock = 32;
inline constexpr uint32_t kPackedLayoutVersion =
    1;  // of all the above: files of packed weights (packing/packed_file.h) carry it

struct PackedFormat {
  int bits;                                                        // of a code
  int blocks;                                                      // of kPackedBlock columns in a unit
  int header;                                                      // bytes before the codes of a unit
  constexpr int code_bytes() const noexcept { return 32 * bits; }  // of a block
  constexpr int unit_bytes() const noexcept { return header + blocks * code_bytes(); }
};

// Nothing for types that are not packed: the unquantised ones, q2_k and q3_k.
constexpr std::optional<PackedFormat> packed_format(DType dtype) noexcept {
  switch (dtype) {
    case DType::q4_0:
      return PackedFormat{4, 1, 16};
    case DType::q4_1:
      return PackedFormat{4, 1, 32};
    case DType::q5_0:
      return PackedFormat{5, 1, 16};
    case DType::q5_1:
      return PackedFormat{5, 1, 32};
    case DType::q8_0:
      return PackedFormat{8, 1, 16};
    case DType::q4_k:
      return PackedFormat{4, 8, 128};
    case DType::q5_k:
      return PackedFormat{5, 8, 128};
    case DType::q6_k:
      return PackedFormat{6, 8, 144};
    default:
      return std::nullopt;
  }
}

// Bytes of one strip of a weight of a type that has them.
constexpr int64_t strip_bytes(DType dtype, int64_t cols) noexcept {
  const PackedFormat f = *packed_format(dtype);
  return cols / (kPackedBlock * f.blocks) * f.unit_bytes();
}
constexpr int64_t n_strips(int64_t rows) noexcept { return (rows + kStripRows - 1) / kStripRows; }
// Of a whole weight.
inline int64_t packed_weight_bytes(const Weight& w) noexcept { return n_strips(w.rows) * strip_bytes(w.dtype, w.cols); }

// Rows [first, first + n) of w, with their packed form where first begins a strip.
inline Weight packed_rows(const Weight& w, int64_t first, int64_t n) noexcept {
  Weight rows = w.sub_rows(first, n);
  if (w.packed != nullptr && first % kStripRows == 0)
    rows.packed = w.packed + first / kStripRows * strip_bytes(w.dtype, w.cols);
  return rows;
}

// Writes strip_bytes() for the rows [8 strip, 8 strip + 8) of w.
void pack_strip(const Weight& w, int64_t strip, std::byte* out) noexcept;

// Rows of activations in 8 bits: x = scale * code, block by block of 32, code = round(x * 127 / max |x|).
//     codes  [cols / 32][n][32]
//     sums   [cols / 32][n][4]: the scale; the sum of the codes; that of the first 16; that of the last 16
// A block whose largest magnitude is below 2^-100 is zero; one with a number that is not finite has the scale NaN, so
// that the product shows it.
struct QuantisedRows {
  static constexpr int64_t kMaxRows = 64;  // in one tile
  int64_t n = 0, cols = 0;
  int8_t* codes = nullptr;
  float* sums = nullptr;
  static constexpr int64_t kSums = 4;
};

}  // namespace fathom
