// Inputs for kernel tests: the same numbers for the same seed, on every machine.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include "base/random.h"
#include "kernels/dispatch.h"
#include "tensor/view.h"
#include "tensor/weight.h"

namespace fathom {

inline constexpr double kEpsF32 = 0x1p-24;  // half a unit in the last place: the relative error of one rounding

inline std::vector<float> random_floats(int64_t n, uint64_t seed, double scale = 1.0) {
  std::vector<float> x(static_cast<size_t>(n));
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(scale * standard_normal(seed, 7, i));
  return x;
}
inline std::vector<double> to_double(const std::vector<float>& x) { return {x.begin(), x.end()}; }

inline MatView<const float> mat(const std::vector<float>& x, int64_t rows, int64_t cols) {
  return {x.data(), rows, cols};
}
inline MatView<float> mat(std::vector<float>& x, int64_t rows, int64_t cols) { return {x.data(), rows, cols}; }

// Where the half-precision scales lie in a block.
inline std::vector<int> scale_offsets(DType t) {
  switch (t) {
    case DType::q8_0:
    case DType::q4_0:
    case DType::q5_0:
    case DType::iq4_nl:
    case DType::iq4_xs:
      return {0};
    case DType::q4_1:
    case DType::q5_1:
    case DType::q4_k:
    case DType::q5_k:
      return {0, 2};
    case DType::q2_k:
      return {80, 82};
    case DType::q3_k:
      return {108};
    case DType::q6_k:
      return {208};
    default:
      return {};
  }
}

// Stored bytes of n elements: any codes, scales of either sign near 0.01. f32 and its kin: normal numbers.
inline std::vector<std::byte> random_stored(DType t, int64_t n, uint64_t seed) {
  std::vector<std::byte> bytes(static_cast<size_t>(row_bytes(t, n)));
  const auto put = [&](size_t at, auto value) { std::memcpy(bytes.data() + at, &value, sizeof value); };
  for (size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(philox(seed, 1, i)[0] & 255);
  if (info(t).block_elements == 1) {
    const std::vector<float> x = random_floats(n, seed);
    for (size_t i = 0; i < x.size(); ++i) {
      if (t == DType::f32) put(4 * i, x[i]);
      if (t == DType::f16) put(2 * i, f32_to_f16(x[i]));
      if (t == DType::bf16) put(2 * i, f32_to_bf16(x[i]));
      if (t == DType::f8_e4m3) put(i, f32_to_f8_e4m3(x[i]));
    }
  }
  const auto block = static_cast<size_t>(info(t).block_bytes);
  for (size_t b = 0; b * block < bytes.size(); ++b)
    for (int offset : scale_offsets(t))
      put(b * block + static_cast<size_t>(offset),
          f32_to_f16(static_cast<float>(0.01 * standard_normal(seed, 2, 8 * b + static_cast<size_t>(offset % 8)))));
  return bytes;
}

// A weight (rows, cols) and its bytes, which start `misaligned` bytes after an aligned address.
struct StoredWeight {
  std::vector<std::byte> bytes;
  std::vector<float> scales;
  Weight w;
};
inline StoredWeight random_weight(DType t, int64_t rows, int64_t cols, uint64_t seed, int misaligned = 0) {
  StoredWeight s;
  const std::vector<std::byte> stored = random_stored(t, rows * cols, seed);
  s.bytes.resize(static_cast<size_t>(misaligned) + stored.size());
  std::copy(stored.begin(), stored.end(), s.bytes.begin() + misaligned);
  s.w = {.dtype = t, .rows = rows, .cols = cols, .data = s.bytes.data() + misaligned};
  if (t == DType::f8_e4m3) {
    s.w.scale_cols = (cols + kFp8Block - 1) / kFp8Block;
    s.scales = random_floats((rows + kFp8Block - 1) / kFp8Block * s.w.scale_cols, seed + 1);
    s.w.scale_inv = reinterpret_cast<const std::byte*>(s.scales.data());
  }
  return s;
}

}  // namespace fathom
