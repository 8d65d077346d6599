// What stored numbers mean: the definition of every element type. Fast kernels are tested against this.
//
// The order of the float operations is part of the meaning: results equal PyPI gguf's numpy code (gguf/quants.py,
// version 0.19) bit for bit, except that a NaN may carry another payload. Formulas: quant/formats.h; every product and
// sum is rounded to float32 on its own.
#pragma once
#include <cstddef>
#include <cstdint>

#include "tensor/dtype.h"
#include "tensor/weight.h"

namespace fathom {

// n_elements (a multiple of the type's block_elements) numbers that start at `bytes`, which need not be aligned;
// out[n_elements] is written. f8_e4m3 is widened without a scale here: scales belong to a matrix, see decode_row.
void decode_blocks(DType dtype, const std::byte* bytes, int64_t n_elements, float* out) noexcept;

// Row `row` of w, w.cols numbers. f8_e4m3: out[j] = stored[j] * scale_inv[(first_row + row) / 128][j / 128]; without
// scale_inv, 1.
void decode_row(const Weight& w, int64_t row, float* out) noexcept;

}  // namespace fathom
