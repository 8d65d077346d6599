// Matrices that nothing but products reads: kept as products round them, so that they take half the bytes where that is
// bfloat16, and each number is rounded once, however many products read it. The bits of the products are those of
// float32 matrices that each product rounds (kernels/matmul/training_matmul.h).
#pragma once
#include <algorithm>

#include "model/context.h"

namespace fathom {

class Operand {
 public:
  // Uninitialised, until the caller's arena scope closes.
  Operand(Context& ctx, int64_t rows, int64_t cols) {
    if (!rounds_operands(ctx)) {
      f32_ = scratch(ctx, rows, cols);
    } else {
      bf16_ = bf16_scratch(ctx, rows, cols);
      round_row_ = gemm_kernel(MatmulPrecision::bf16).round_row;
    }
  }
  AnyRows rows() const noexcept { return round_row_ != nullptr ? AnyRows(bf16_) : AnyRows(f32_); }

  // Row t has these n numbers from column `first`.
  void set(int64_t t, int64_t first, int64_t n, const float* values) const noexcept {
    if (round_row_ != nullptr)
      round_row_(values, n, bf16_.row(t) + first);
    else
      std::copy_n(values, n, f32_.row(t) + first);
  }

 private:
  MatView<float> f32_;  // the one or the other
  MatView<uint16_t> bf16_;
  void (*round_row_)(const float* x, int64_t n, uint16_t* out) noexcept = nullptr;
};

}  // namespace fathom
