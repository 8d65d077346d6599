// A weight matrix as it lies in its file: any element type, behind one view.
#pragma once
#include <cstddef>
#include <cstdint>

#include "base/error.h"
#include "tensor/dtype.h"

namespace fathom {

// FP8 blocks: one float32 scale for every kFp8Block x kFp8Block elements, value = stored * scale (weight_scale_inv,
// DeepSeek's layout).
inline constexpr int64_t kFp8Block = 128;

// A matrix (rows, cols), or a vector (one row). Does not own its bytes: the TensorSource or the buffer that does must
// outlive it. The bytes need not be aligned. `data == nullptr` means "this model has no such tensor".
struct Weight {
  DType dtype = DType::f32;
  int64_t rows = 0, cols = 0;
  const std::byte* data = nullptr;
  const std::byte* scale_inv = nullptr;  // f8_e4m3 only: float32 (ceil(rows/128), ceil(cols/128)), of the whole tensor
  int64_t scale_cols = 0;                // ceil(cols/128)
  int64_t first_row = 0;                 // of this view in the tensor that scale_inv belongs to
  const std::byte* packed =
      nullptr;  // the same numbers laid out for fast products, when there are: kernels/packed_weight.h

  explicit operator bool() const noexcept { return data != nullptr; }
  int64_t bytes_per_row() const noexcept { return row_bytes(dtype, cols); }
  const std::byte* row(int64_t i) const noexcept { return data + i * bytes_per_row(); }

  Weight sub_rows(int64_t first, int64_t n) const noexcept {
    dcheck(first >= 0 && n >= 0 && first + n <= rows, "rows inside the weight");
    Weight w = *this;
    w.rows = n;
    w.data = row(first);
    w.first_row += first;
    w.packed = nullptr;
    return w;
  }
};

}  // namespace fathom
