// Rows of a stored matrix, decoded piece by piece: what the matrix products are written on.
#pragma once
#include <algorithm>
#include <cstring>

#include "kernels/dispatch.h"
#include "tensor/any_rows.h"
#include "tensor/weight.h"

namespace fathom {

// Pieces start at multiples of this: whole blocks of every format, whole vectors of every table.
inline constexpr int64_t kPiece = 256;

class WeightRows {
 public:
  // Holds k and w's pointers; they must outlive it. f8_e4m3 is scaled by w.scale_inv when there is one.
  WeightRows(const KernelTable& k, const Weight& w) noexcept
      : WeightRows(k, w.dtype, w.data, w.bytes_per_row(), w.rows, w.cols) {
    scale_inv_ = w.dtype == DType::f8_e4m3 ? w.scale_inv : nullptr;
    scale_cols_ = w.scale_cols;
    first_row_ = w.first_row;
  }
  WeightRows(const KernelTable& k, const AnyRows& m) noexcept
      : WeightRows(k, m.is_bf16() ? DType::bf16 : DType::f32, static_cast<const std::byte*>(m.at(0, 0)),
                   m.stride() * m.element_bytes(), m.rows(), m.cols()) {}

  int64_t rows() const noexcept { return rows_; }
  int64_t cols() const noexcept { return cols_; }

  // Elements stand alone, without blocks or scales: any `first` and `n` will do.
  bool any_column() const noexcept { return block_elements_ == 1 && scale_inv_ == nullptr; }

  // Elements first .. first+n-1 of one row, first a multiple of kPiece, n too unless the row ends there.
  void decode(int64_t row, int64_t first, int64_t n, float* out) const noexcept {
    decode_(data_ + row * row_bytes_ + first / block_elements_ * block_bytes_, n, out);
    if (scale_inv_ != nullptr) apply_scale(row, first, n, out);
  }

  // Elements first .. first+n-1 of rows row .. row+n_rows-1, decoded into scratch (n_rows * n floats), one row after
  // the other.
  void decode_rows(int64_t row, int64_t n_rows, int64_t first, int64_t n, float* scratch) const noexcept {
    for (int64_t r = 0; r < n_rows; ++r) decode(row + r, first, n, scratch + r * n);
  }

  // The same as a matrix with the given stride, where the rows lie when they are floats already. To read it many times
  // decode_rows is better even then: rows a power of two apart fall on the same lines of the cache.
  const float* piece(int64_t row, int64_t n_rows, int64_t first, int64_t n, float* scratch,
                     int64_t& stride) const noexcept {
    if (in_place_) {
      stride = row_bytes_ / 4;
      return reinterpret_cast<const float*>(data_ + row * row_bytes_) + first;
    }
    stride = n;
    decode_rows(row, n_rows, first, n, scratch);
    return scratch;
  }

  // From one row to the next.
  int64_t row_bytes() const noexcept { return row_bytes_; }

  // Where a row of bfloat16 lies, if these rows are such numbers; else nullptr.
  const uint16_t* bf16_row(int64_t row) const noexcept {
    return is_bf16_ ? reinterpret_cast<const uint16_t*>(data_ + row * row_bytes_) : nullptr;
  }

 private:
  WeightRows(const KernelTable& k, DType dtype, const std::byte* data, int64_t row_bytes, int64_t rows,
             int64_t cols) noexcept
      : decode_(decoder(k, dtype)),
        scale_(k.scale),
        data_(data),
        row_bytes_(row_bytes),
        rows_(rows),
        cols_(cols),
        block_elements_(info(dtype).block_elements),
        block_bytes_(info(dtype).block_bytes),
        in_place_(dtype == DType::f32 && reinterpret_cast<uintptr_t>(data) % alignof(float) == 0),
        is_bf16_(dtype == DType::bf16 && reinterpret_cast<uintptr_t>(data) % alignof(uint16_t) == 0) {
    dcheck(cols % block_elements_ == 0, "rows hold whole blocks");
  }

  void apply_scale(int64_t row, int64_t first, int64_t n, float* out) const noexcept {
    const std::byte* scales = scale_inv_ + (first_row_ + row) / kFp8Block * scale_cols_ * 4;
    for (int64_t i = 0; i < n; i += kFp8Block) {  // first is a multiple of kFp8Block
      float scale;
      std::memcpy(&scale, scales + (first + i) / kFp8Block * 4, sizeof scale);
      scale_(scale, out + i, std::min(kFp8Block, n - i));
    }
  }

  DecodeFn decode_;
  void (*scale_)(float alpha, float* x, int64_t n) noexcept;
  const std::byte* data_;
  int64_t row_bytes_, rows_, cols_, block_elements_, block_bytes_;
  bool in_place_, is_bf16_;
  const std::byte* scale_inv_ = nullptr;
  int64_t scale_cols_ = 0, first_row_ = 0;
};

}  // namespace fathom
