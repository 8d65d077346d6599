// Quantised weights laid out for integer products: eight rows side by side, called a panel.
//
// The codes of a weight are repacked without change, so a panel means what its rows mean (quant/decode.h). One layout
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
// A product with them (KernelTable::panel_product) takes activations of 8 bits, also in blocks of 32 with a scale each.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>

#include "tensor/view.h"
#include "tensor/weight.h"

namespace fathom {

inline constexpr int64_t kPanelRows = 8;
inline constexpr int64_t kPanelBlock = 32;
inline constexpr uint32_t kPanelLayoutVersion =
    1;  // of all the above: files of panels (packing/packed_file.h) carry it

struct PanelFormat {
  int bits;                                                        // of a code
  int blocks;                                                      // of kPanelBlock columns in a unit
  int header;                                                      // bytes before the codes of a unit
  constexpr int code_bytes() const noexcept { return 32 * bits; }  // of a block
  constexpr int unit_bytes() const noexcept { return header + blocks * code_bytes(); }
};

// Nothing for types without panels: the unquantised ones, q2_k and q3_k.
constexpr std::optional<PanelFormat> panel_format(DType dtype) noexcept {
  switch (dtype) {
    case DType::q4_0:
      return PanelFormat{4, 1, 16};
    case DType::q4_1:
      return PanelFormat{4, 1, 32};
    case DType::q5_0:
      return PanelFormat{5, 1, 16};
    case DType::q5_1:
      return PanelFormat{5, 1, 32};
    case DType::q8_0:
      return PanelFormat{8, 1, 16};
    case DType::q4_k:
      return PanelFormat{4, 8, 128};
    case DType::q5_k:
      return PanelFormat{5, 8, 128};
    case DType::q6_k:
      return PanelFormat{6, 8, 144};
    default:
      return std::nullopt;
  }
}

// Bytes of one panel of a weight of a type that has them.
constexpr int64_t panel_bytes(DType dtype, int64_t cols) noexcept {
  const PanelFormat f = *panel_format(dtype);
  return cols / (kPanelBlock * f.blocks) * f.unit_bytes();
}
constexpr int64_t n_panels(int64_t rows) noexcept { return (rows + kPanelRows - 1) / kPanelRows; }
// Of a whole weight.
inline int64_t bytes_of_panels(const Weight& w) noexcept { return n_panels(w.rows) * panel_bytes(w.dtype, w.cols); }

// Rows [first, first + n) of w, with their panels where first is the start of one.
inline Weight panel_rows(const Weight& w, int64_t first, int64_t n) noexcept {
  Weight rows = w.sub_rows(first, n);
  if (w.panels != nullptr && first % kPanelRows == 0)
    rows.panels = w.panels + first / kPanelRows * panel_bytes(w.dtype, w.cols);
  return rows;
}

// Writes panel_bytes() for the rows [8 panel, 8 panel + 8) of w.
void pack_panel(const Weight& w, int64_t panel, std::byte* out) noexcept;

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
