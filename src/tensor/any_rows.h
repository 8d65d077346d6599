// A matrix of float32, or of the same numbers rounded to bfloat16: what the products of training read.
#pragma once
#include <cstdint>

#include "tensor/view.h"

namespace fathom {

class AnyRows {
 public:
  AnyRows() = default;
  AnyRows(MatView<const float> m) noexcept : AnyRows(m.data, false, m.rows, m.cols, m.stride) {}
  AnyRows(MatView<float> m) noexcept : AnyRows(MatView<const float>(m)) {}
  AnyRows(MatView<const uint16_t> m) noexcept : AnyRows(m.data, true, m.rows, m.cols, m.stride) {}
  AnyRows(MatView<uint16_t> m) noexcept : AnyRows(MatView<const uint16_t>(m)) {}

  int64_t rows() const noexcept { return rows_; }
  int64_t cols() const noexcept { return cols_; }
  int64_t stride() const noexcept { return stride_; }  // in elements
  bool is_bf16() const noexcept { return is_bf16_; }
  int64_t element_bytes() const noexcept { return is_bf16_ ? 2 : 4; }

  // Of the one kind or the other (is_bf16), from element j of row i.
  const float* f32(int64_t i, int64_t j) const noexcept { return static_cast<const float*>(data_) + i * stride_ + j; }
  const uint16_t* bf16(int64_t i, int64_t j) const noexcept {
    return static_cast<const uint16_t*>(data_) + i * stride_ + j;
  }
  const void* at(int64_t i, int64_t j) const noexcept {
    if (is_bf16_) return bf16(i, j);
    return f32(i, j);
  }

  AnyRows sub_rows(int64_t first, int64_t n) const noexcept { return {at(first, 0), is_bf16_, n, cols_, stride_}; }
  AnyRows sub_cols(int64_t first, int64_t n) const noexcept { return {at(0, first), is_bf16_, rows_, n, stride_}; }

 private:
  AnyRows(const void* data, bool is_bf16, int64_t rows, int64_t cols, int64_t stride) noexcept
      : data_(data), rows_(rows), cols_(cols), stride_(stride), is_bf16_(is_bf16) {}

  const void* data_ = nullptr;
  int64_t rows_ = 0, cols_ = 0, stride_ = 0;
  bool is_bf16_ = false;
};

}  // namespace fathom
