// Packed weights: weights laid out for fast matmuls, eight rows side by side, which are called a strip.
//
// Packing moves the codes of a weight and changes none, so a strip means what its rows mean (quant/decode.h). There is
// one layout for every instruction set: a register of 32 bytes holds four codes of eight rows, and no sum crosses
// lanes. For each block of 32 columns:
//     codes   [part][row][4 columns], where part p holds columns 4p .. 4p+3.
//             4 bits: parts p and p + 4 share a byte, 32 bytes for p = 0 .. 3.
//             5 bits: then 32 bytes of fifth bits, bit p of a byte for part p.
//             6 bits: then 64 bytes of fifth and sixth bits, bits 2 (p % 4) and 2 (p % 4) + 1 of byte 32 (p / 4) + i.
//             8 bits: as they are.
// A unit is one block, or eight blocks of the K formats. It begins with the scales of its rows, [field][row]:
//     q4_0 q5_0 q8_0   d (half)
//     q4_1 q5_1        d, m (half)
//     q4_k q5_k        d, dmin (half), the 12 bytes of scales and mins
//     q6_k             d (half), the 16 scales (int8)
// Floating-point weights have no such scales, and are transposed column by column:
//     f32 f16          [column][row]
//     bf16             [column / 2][row][2 columns]
//     f8_e4m3          units of 128 columns: 256 times the scale of each row (float; NaN where the unit has a NaN),
//     then
//                      [column][row]
// A packed weight takes as many bytes as in the file (f8_e4m3: 33 for 32), but for rows that fill up the last strip,
// which are zero.
//
// The matmul of a quantised weight (KernelTable::packed_product) takes activations of 8 bits, in blocks of 32 with one
// scale each; that of bfloat16 takes them in bfloat16 where the CPU multiplies such numbers fast (Bf16Kernel). All
// other floating-point weights are multiplied as float32 (KernelTable::float_product).
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>

#include "kernels/kernel_table.h"
#include "tensor/view.h"
#include "tensor/weight.h"

namespace fathom {

inline constexpr int64_t kStripRows = 8;
inline constexpr int64_t kPackedBlock = 32;  // columns
inline constexpr int64_t kFloatUnit = 128;   // columns whose products in float32 are added up first
// The version of all this, which files of packed weights (packing/packed_file.h) carry.
inline constexpr uint32_t kPackedLayoutVersion = 1;

struct PackedFormat {
  int bits;                                                        // of a code
  int blocks;                                                      // of kPackedBlock columns in a unit
  int header;                                                      // bytes before the codes of a unit
  constexpr int code_bytes() const noexcept { return 32 * bits; }  // of a block
  constexpr int unit_bytes() const noexcept { return header + blocks * code_bytes(); }
};

// nullopt for types that are not packed: q2_k, q3_k and the iq ones.
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
    case DType::f32:
      return PackedFormat{32, 1, 0};
    case DType::f16:
    case DType::bf16:
      return PackedFormat{16, 1, 0};
    case DType::f8_e4m3:
      return PackedFormat{8, kFloatUnit / kPackedBlock, kStripRows * 4};
    default:
      return std::nullopt;
  }
}

constexpr bool is_floating(DType dtype) noexcept {
  return dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16 || dtype == DType::f8_e4m3;
}

// What activations are for a packed weight of that type in this process: rounded to 8 bits or to bfloat16, or as they
// are.
enum class RowForm : uint8_t { bytes, bf16, floats };
RowForm row_form(DType dtype) noexcept;

// Whether there is a packed form of w; and whether this process gains by it, which it does not for bfloat16 where
// products of many rows are AMX's or Intel's AVX512_BF16's (model/context.h), which pack for themselves.
constexpr bool has_packed_form(const Weight& w) noexcept {
  const auto format = packed_format(w.dtype);
  return format && w.cols % (kPackedBlock * format->blocks) == 0;
}
bool can_be_packed(const Weight& w) noexcept;
bool bf16_can_be_packed() noexcept;

// Bytes of one strip; the type must be one that is packed.
constexpr int64_t strip_bytes(DType dtype, int64_t cols) noexcept {
  const PackedFormat f = *packed_format(dtype);
  return cols / (kPackedBlock * f.blocks) * f.unit_bytes();
}
constexpr int64_t n_strips(int64_t rows) noexcept { return (rows + kStripRows - 1) / kStripRows; }
// Bytes of a whole packed weight.
inline int64_t packed_weight_bytes(const Weight& w) noexcept { return n_strips(w.rows) * strip_bytes(w.dtype, w.cols); }

// Rows [first, first + n) of w, which may have its packed form alone; packed as w is where `first` is the first row of
// a strip.
inline Weight packed_rows(const Weight& w, int64_t first, int64_t n) noexcept {
  Weight rows = w;
  if (w.data != nullptr) rows = w.sub_rows(first, n);
  rows.rows = n;
  rows.packed = nullptr;
  if (w.packed != nullptr && first % kStripRows == 0)
    rows.packed = w.packed + first / kStripRows * strip_bytes(w.dtype, w.cols);
  return rows;
}

// Packs rows [8 strip, 8 strip + 8) of w: writes strip_bytes().
void pack_strip(const Weight& w, int64_t strip, std::byte* out) noexcept;

// Rows of activations as packed weights take them, in blocks of 32. In 8 bits: x = scale * code, code = round(x * 127 /
// max |x|);
//     codes  [cols / 32][n][32]
//     sums   [cols / 32][n]: the scale, and sums of the codes (BlockSums)
// in bfloat16, or as they are, without codes and sums:
//     bf16 or floats [cols / 32][n][32]
// A block of codes whose largest magnitude is below 2^-100 becomes zero. A block with a number that is not finite has
// the scale NaN, so that the result shows it.
struct QuantisedRows {
  static constexpr int64_t kMaxRows = 64;  // in one tile
  int64_t n = 0, cols = 0;
  int8_t* codes = nullptr;
  BlockSums* sums = nullptr;
  uint16_t* bf16 = nullptr;
  float* floats = nullptr;

  RowForm form() const noexcept {
    return bf16 != nullptr ? RowForm::bf16 : floats != nullptr ? RowForm::floats : RowForm::bytes;
  }
};

}  // namespace fathom
