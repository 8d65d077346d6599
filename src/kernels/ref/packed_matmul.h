// The definition of products with packed weights (kernels/packed_weight.h), in the order of float operations that every
// table keeps, so that all of them give the same bits.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/packed_weight.h"
#include "tensor/dtype.h"

namespace fathom::ref {

inline constexpr float kNoActivation = 0x1p-100f;  // blocks below it are zero

// codes of block b at codes + b * code_stride, its sums at sums + b * sum_stride.
inline void quantise_row(const float* x, int64_t n, int8_t* codes, int64_t code_stride, BlockSums* sums,
                         int64_t sum_stride) noexcept {
  for (int64_t b = 0; b < n / kPackedBlock; ++b) {
    const float* block = x + b * kPackedBlock;
    float largest = 0;
    bool finite = true;
    for (int i = 0; i < kPackedBlock; ++i) {
      largest = std::fmax(largest, std::fabs(block[i]));
      finite = finite && std::isfinite(block[i]);
    }
    const float scale = largest / 127.0f, inverse = largest >= kNoActivation && finite ? 127.0f / largest : 0.0f;
    int half[2] = {0, 0};
    for (int i = 0; i < kPackedBlock; ++i) {
      const auto code = static_cast<int8_t>(inverse > 0 ? std::nearbyint(block[i] * inverse) : 0.0f);
      codes[b * code_stride + i] = code;
      half[i / 16] += code;
    }
    sums[b * sum_stride] = {.scale = !finite       ? std::nanf("")
                                     : inverse > 0 ? scale
                                                   : 0.0f,
                            .total = static_cast<float>(half[0] + half[1]),
                            .offset = -8 * (half[0] + half[1]),
                            .offset_first = -8 * half[0]};
  }
}

// code of (row, column) in the codes of a block; q8_0: signed.
inline int strip_code(const uint8_t* codes, int bits, int64_t row, int column) noexcept {
  const int part = column / 4;
  const int64_t lane = row * 4 + column % 4;
  if (bits == 8) return static_cast<int8_t>(codes[32 * part + lane]);
  int code = codes[32 * (part % 4) + lane] >> (part / 4 * 4) & 15;
  if (bits == 5) code |= (codes[128 + lane] >> part & 1) << 4;
  if (bits == 6) code |= (codes[128 + 32 * (part / 4) + lane] >> (part % 4 * 2) & 3) << 4;
  return code;
}

// What the codes of a block of one row mean: scale * (code - zero) + min, with a scale for each half of q6_k.
struct StripScale {
  float scale[2], min;
};
constexpr int strip_zero(DType dtype) noexcept {
  return dtype == DType::q4_0 ? 8 : dtype == DType::q5_0 ? 16 : dtype == DType::q6_k ? 32 : 0;
}
constexpr bool has_min(DType dtype) noexcept {
  return dtype == DType::q4_1 || dtype == DType::q5_1 || dtype == DType::q4_k || dtype == DType::q5_k;
}
inline float header_half(const uint8_t* header, int64_t field, int64_t row) noexcept {
  uint16_t half;
  std::memcpy(&half, header + (field * kStripRows + row) * 2, sizeof half);
  return f16_to_f32(half);
}
inline StripScale strip_scale(DType dtype, const uint8_t* header, int block, int64_t row) noexcept {
  const float d = header_half(header, 0, row);
  const auto byte = [&](int64_t at, int64_t field) { return header[at + field * kStripRows + row]; };
  switch (dtype) {
    case DType::q4_1:
    case DType::q5_1:
      return {{d, d}, header_half(header, 1, row)};
    case DType::q4_k:
    case DType::q5_k: {
      const int low = block % 4;
      const int scale = block < 4 ? byte(32, low) & 63 : (byte(32, low + 8) & 15) | (byte(32, low) >> 6 << 4);
      const int min = block < 4 ? byte(32, low + 4) & 63 : (byte(32, low + 8) >> 4) | (byte(32, low + 4) >> 6 << 4);
      const float s = d * static_cast<float>(scale);
      return {{s, s}, -(header_half(header, 1, row) * static_cast<float>(min))};
    }
    case DType::q6_k: {
      const auto scale = [&](int half) {
        return d * static_cast<float>(static_cast<int8_t>(byte(16, 2 * block + half)));
      };
      return {{scale(0), scale(1)}, 0};
    }
    default:
      return {{d, d}, 0};
  }
}

// y[t * y_stride + r] = <row r of the strip, row t of the activations>, r < kStripRows. For each block, in order:
//     t = s * (i - zero * total) + min * total,  sum = fma(t, scale of the activations, sum)
//     q6_k: t = s_0 (i_0 - 32 half_0) + s_1 (i_1 - 32 half_1)
// i: the integer product of the codes, total: the sum of those of the activations; what is in brackets is a whole
// number, and made as one.
template <DType dtype>
void one_strip_product(const std::byte* strip, int64_t cols, const int8_t* codes, const BlockSums* sums, int64_t n,
                       float* y, int64_t y_stride) noexcept {
  constexpr PackedFormat f = *packed_format(dtype);
  const auto* bytes = reinterpret_cast<const uint8_t*>(strip);
  for (int64_t t = 0; t < n; ++t)
    for (int64_t r = 0; r < kStripRows; ++r) {
      float sum = 0;
      for (int64_t b = 0; b < cols / kPackedBlock; ++b) {
        const uint8_t* unit = bytes + b / f.blocks * f.unit_bytes();
        const uint8_t* block = unit + f.header + b % f.blocks * f.code_bytes();
        const int8_t* x = codes + (b * n + t) * kPackedBlock;
        const BlockSums& s = sums[b * n + t];
        const StripScale w = strip_scale(dtype, unit, static_cast<int>(b % f.blocks), r);
        int part[2] = {0, 0};
        for (int k = 0; k < kPackedBlock; ++k) part[k / 16] += strip_code(block, f.bits, r, k) * x[k];
        constexpr int eights = strip_zero(dtype) / 8;  // BlockSums has -8 times the sums
        float value;
        if constexpr (dtype == DType::q6_k) {
          value = w.scale[0] * static_cast<float>(part[0] + eights * s.offset_first);
          value = std::fma(w.scale[1], static_cast<float>(part[1] + eights * (s.offset - s.offset_first)), value);
        } else {
          value = w.scale[0] * static_cast<float>(part[0] + part[1] + eights * s.offset);
          if constexpr (has_min(dtype)) value = std::fma(w.min, s.total, value);
        }
        sum = std::fma(value, s.scale, sum);
      }
      y[t * y_stride + r] = sum;
    }
}

template <DType dtype>
void packed_product(const std::byte* packed, int64_t n_strips, int64_t cols, const int8_t* codes, const BlockSums* sums,
                    int64_t n, float* y, int64_t y_stride) noexcept {
  for (int64_t p = 0; p < n_strips; ++p)
    one_strip_product<dtype>(packed + p * strip_bytes(dtype, cols), cols, codes, sums, n, y + p * kStripRows, y_stride);
}

// Of floating-point weights with activations in float32. For each unit of kFloatUnit columns, the last of which may be
// shorter, products are added up in the order of columns; then the sums of the units, in their order:
//     part = fma(w, x, part) from 0,  sum = scale * part for the first unit, then fma(scale, part, sum)
// with scale 1 but for f8_e4m3, whose codes count 2^-8 of their value here (packed_weight.h).
template <DType dtype>
void float_product(const std::byte* packed, int64_t n_strips, int64_t cols, const float* x, int64_t n, float* y,
                   int64_t y_stride) noexcept {
  constexpr PackedFormat f = *packed_format(dtype);
  constexpr bool kScaled = dtype == DType::f8_e4m3;
  constexpr int64_t kElementBytes = f.bits / 8;
  for (int64_t r = 0; r < n_strips * kStripRows; ++r) {
    const std::byte* strip = packed + r / kStripRows * strip_bytes(dtype, cols);
    const int64_t row = r % kStripRows;
    const auto weight = [&](int64_t column) -> float {
      const std::byte* at = strip + (column * kStripRows + row) * kElementBytes;
      if constexpr (dtype == DType::bf16) at = strip + (column / 2 * kStripRows + row) * 4 + column % 2 * 2;
      if constexpr (kScaled) at += (column / kFloatUnit + 1) * f.header;
      if constexpr (dtype == DType::f32) {
        float value;
        std::memcpy(&value, at, sizeof value);
        return value;
      } else if constexpr (kScaled) {
        const auto code = static_cast<uint8_t>(*at);  // as a half: those of NaN count as others
        return f16_to_f32(static_cast<uint16_t>((code & 0x80) << 8 | (code & 0x7F) << 7));
      } else {
        uint16_t half;
        std::memcpy(&half, at, sizeof half);
        return dtype == DType::bf16 ? bf16_to_f32(half) : f16_to_f32(half);
      }
    };
    for (int64_t t = 0; t < n; ++t) {
      float sum = 0;
      for (int64_t first = 0; first < cols; first += kFloatUnit) {
        float part = 0, scale = 1;
        for (int64_t column = first; column < std::min(cols, first + kFloatUnit); ++column)
          part =
              std::fma(weight(column), x[(column / kPackedBlock * n + t) * kPackedBlock + column % kPackedBlock], part);
        if constexpr (kScaled)
          std::memcpy(&scale, strip + first / kFloatUnit * f.unit_bytes() + row * int64_t{sizeof scale}, sizeof scale);
        sum = first == 0 ? scale * part : std::fma(scale, part, sum);
      }
      y[t * y_stride + r] = sum;
    }
  }
}

// Of weights of bfloat16 with activations in it (Bf16Kernel): numbers below 2^-126 count as zero, in what is multiplied
// and in what is summed.
inline float normal_or_zero(float f) noexcept { return std::fabs(f) < 0x1p-126f ? 0.0f : f; }

inline void packed_bf16_product(const std::byte* packed, int64_t n_strips, int64_t cols, const uint16_t* x, int64_t n,
                                float* y, int64_t y_stride) noexcept {
  const auto number = [](const void* p) {
    uint16_t half;
    std::memcpy(&half, p, sizeof half);
    return normal_or_zero(bf16_to_f32(half));
  };
  for (int64_t r = 0; r < n_strips * kStripRows; ++r) {
    const std::byte* strip = packed + r / kStripRows * strip_bytes(DType::bf16, cols);
    for (int64_t t = 0; t < n; ++t) {
      float sum = 0;
      for (int64_t i = 0; i < cols; ++i) {
        const int64_t column = i ^ 1;  // the second of a pair comes first
        const std::byte* w = strip + (column / 2 * kStripRows + r % kStripRows) * 4 + column % 2 * 2;
        const uint16_t* a = x + (column / kPackedBlock * n + t) * kPackedBlock + column % kPackedBlock;
        sum = normal_or_zero(std::fma(number(w), number(a), sum));
      }
      y[t * y_stride + r] = sum;
    }
  }
}

}  // namespace fathom::ref
