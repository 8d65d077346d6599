// Matrix products in double, and the bound of kernels/matmul/training_matmul.h on what float32 makes of them.
#pragma once
#include <gtest/gtest.h>

#include "kernels/inputs.h"
#include "kernels/matmul_precision.h"

namespace fathom {

inline constexpr MatmulPrecision kProducts[] = {MatmulPrecision::f32, MatmulPrecision::bf16};
inline const char* name(MatmulPrecision p) { return p == MatmulPrecision::f32 ? "f32" : "bf16"; }

// What is multiplied: the operand itself, or rounded to bfloat16.
inline double operand(MatmulPrecision p, float f) {
  return p == MatmulPrecision::bf16 ? bf16_to_f32(f32_to_bf16(f)) : f;
}

// Element (i, j) of a matrix, as it is multiplied.
struct Element {
  MatmulPrecision products;
  MatView<const float> m;
  bool transposed = false;
  double operator()(int64_t i, int64_t j) const { return operand(products, transposed ? m(j, i) : m(i, j)); }
};
inline Element of(MatmulPrecision p, MatView<const float> m) { return {p, m}; }
inline Element transposed(Element e) {
  e.transposed = !e.transposed;
  return e;
}

// c = start + a b in double, and the bound of training_matmul.h on the error of each element.
inline void expect_product(const Element& a, const Element& b, int64_t K, MatView<const float> start,
                           MatView<const float> c) {
  for (int64_t i = 0; i < c.rows; ++i)
    for (int64_t j = 0; j < c.cols; ++j) {
      double sum = start(i, j), size = std::abs(sum);
      for (int64_t k = 0; k < K; ++k) {
        sum += a(i, k) * b(k, j);
        size += std::abs(a(i, k) * b(k, j));
      }
      ASSERT_LE(std::abs(c(i, j) - sum), static_cast<double>(K + 2) * kEpsF32 * size) << "at " << i << ", " << j;
    }
}

// A matrix whose rows have `gap` numbers between them, all of which must stay as they are.
struct Padded {
  int64_t rows, cols, stride;
  std::vector<float> data;
  Padded(int64_t r, int64_t c, int64_t gap, uint64_t seed)
      : rows(r), cols(c), stride(c + gap), data(random_floats(r * (c + gap) + 1, seed)) {}
  MatView<float> view() { return {data.data() + 1, rows, cols, stride}; }  // not aligned
  MatView<const float> view() const { return {data.data() + 1, rows, cols, stride}; }
  void expect_gaps_of(const Padded& other) const {
    for (int64_t i = 0; i < rows; ++i)
      for (int64_t j = cols; j < stride && 1 + i * stride + j < static_cast<int64_t>(data.size()); ++j) {
        const auto at = static_cast<size_t>(1 + i * stride + j);
        ASSERT_EQ(data[at], other.data[at]) << "written outside, after row " << i;
      }
  }
};

}  // namespace fathom
