// Rows of the latent cache in few bits: which formats there are, where their bytes lie, and what these mean.
//
// A row of latent attention is [c_kv (C) | k_r (R)]. c_kv is mapped to u, u to codes of `bits` bits, and k_r is kept
// before rotation in 8 bits, so that a row does not depend on its position:
//     u_j   = (c_j - zero_j) / scale_j           calibrated (latent_calibration.h), or
//     u     = H c                                calibration-free: H the Hadamard transform below
//     u_j   ~ gain level[code_j] + residual_j    level: 2^bits whole numbers of at most 127;  residual_j: 0 for all but
//                                                `outliers` columns of a row, those farthest outside of the levels
//     k_r,i ~ tail_scale tail_code_i             |tail_code| <= 127
// gain is 1 / 127, or a number of its own for each row: the one with the least squared error. Attention works on u: it
// folds scale or H into the query and into what comes out, and the zero, which every row has, leaves the softmax alone.
//
// H: C is cut into pieces of the largest power of two P that divides it; each is multiplied with the Walsh-Hadamard
// matrix of order P divided by sqrt(P), which is its own inverse. It spreads a large channel over all of them, so that
// what is left is nearly normal, for which the levels are Lloyd's and Max's.
//
// Bytes of kBlockTokens rows, section after section, each row after row (little-endian, F16 for scales, gains and
// residuals):
//     planes of the codes: bits 0 to 3, then (bits 5) bit 4, (bits 6) bits 4 and 5; bits 3: bits 0 and 1, then bit 2
//     tail codes (R), tail scales, gains (if any), columns of residuals (`outliers` times 2 bytes), residuals
// A plane of b bits has units of 8 bytes for 64 / b columns: column 8 k + i of a unit is in its byte i, at bit b k.
// Columns are padded to a multiple of 64 with codes of 0.
// Source: arXiv:2401.18079 (nuqX, outliers); arXiv:2405.04434 section 3.2.2 (6 bits on average, recipe unpublished).
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kvcache/latent_calibration.h"

namespace fathom {

inline constexpr int64_t kBlockTokens = 64;  // of a cache, whose rows stand together

// What a format is, whatever the widths of a model.
struct LatentFormat {
  int bits = 4;  // of a code: 2 to 6
  bool calibrated = false, gain = false;
  bool outliers = false;  // about one in a hundred columns of a row
  int total_bits = 0;     // not 0: as many outliers as make a row of C + R numbers cost so many bits each
};

// Where the bytes of a row of C + R numbers are.
struct LatentRow {
  LatentFormat format;
  int64_t C = 0, R = 0;
  int64_t outliers = 0;  // of a row

  LatentRow() = default;
  LatentRow(const LatentFormat& format, int64_t C, int64_t R);

  int64_t columns() const noexcept { return (C + 63) / 64 * 64; }  // of the codes, padded
  // The planes of the codes: how many bits each has, and where its section begins in a block.
  struct Plane {
    int bits = 0, shift = 0;  // the plane holds bits [shift, shift + bits) of a code
    int64_t at = 0;
  };
  std::span<const Plane> planes() const noexcept { return {planes_.data(), static_cast<size_t>(n_planes_)}; }
  int64_t plane_bytes(const Plane& p) const noexcept { return columns() / 8 * p.bits; }  // of a row
  // Where the sections begin in a block.
  int64_t tail_at() const noexcept { return tail_at_; }
  int64_t tail_scales_at() const noexcept { return tail_scales_at_; }
  int64_t gains_at() const noexcept { return gains_at_; }
  int64_t outlier_columns_at() const noexcept { return outlier_columns_at_; }
  int64_t residuals_at() const noexcept { return residuals_at_; }
  int64_t bytes() const noexcept { return bytes_; }  // of a row, everything counted

 private:
  std::array<Plane, 2> planes_ = {};
  int n_planes_ = 0;
  int64_t tail_at_ = 0, tail_scales_at_ = 0, gains_at_ = 0, outlier_columns_at_ = 0, residuals_at_ = 0, bytes_ = 0;
};

// A row as numbers: what store and load pass to each other. Not the bytes.
struct LatentCodes {
  std::vector<uint8_t> codes;  // (columns), those after C are 0
  std::vector<int8_t> tail;    // (R)
  float tail_scale = 0, gain = 0;
  struct Residual {
    int64_t column;
    float value;
  };
  std::vector<Residual> residuals;  // in the order of columns
};

// How one layer's rows are coded. Immutable, so that any thread may use it.
class LatentCoder {
 public:
  // calibration: of the layer, for a calibrated format; else nullptr.
  LatentCoder(const LatentRow& row, const LayerCalibration* calibration);

  const LatentRow& row() const noexcept { return row_; }
  std::span<const int8_t> levels() const noexcept { return levels_; }  // 64 of them, zeros after the last

  // u of c (C), in place; and c of u.
  void normalise(float* c) const noexcept;
  void restore(float* u) const noexcept;
  // Of a query q~ (C): q~ . c = fold(q~) . u + a number that is the same for all rows. In place.
  void fold_query(float* q) const noexcept;

  // A row of numbers (C + R, its tail not rotated) as codes, and into row i of the block at `block`.
  LatentCodes encode(const float* row) const;
  void store(const float* row, std::byte* block, int64_t i) const;
  // Codes of row i of a block; u (C) and the tail, not rotated, that they stand for.
  LatentCodes codes(const std::byte* block, int64_t i) const;
  void load_normalised(const std::byte* block, int64_t i, float* u, float* tail) const;

 private:
  uint8_t nearest(float x) const noexcept;

  LatentRow row_;
  std::vector<float> scale_, inverse_, zero_;  // (C); empty: Hadamard
  std::vector<int8_t> levels_;                 // 2^bits, ascending, then zeros up to 64
  std::vector<float> borders_;                 // between neighbours, 2^bits - 1
  float levels_per_rms_ = 1;                   // of a calibration-free row: what its root mean square becomes
};

// The levels of a calibration-free format: those of least squared error for a normal distribution, the outermost at
// 127; deviation: what 1 standard deviation is in them.
struct NormalLevels {
  std::span<const int8_t> levels;
  float deviation;
};
NormalLevels normal_levels(int bits) noexcept;

// x (n) in place times H. n > 0.
void hadamard(float* x, int64_t n) noexcept;

}  // namespace fathom
