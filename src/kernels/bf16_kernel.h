// Products of packed weights of bfloat16 (kernels/packed_weight.h) with activations that are rounded to bfloat16, for
// instruction sets that multiply pairs of such numbers faster than float32.
//
// Kernels start no threads, allocate nothing and throw nothing. Pointers need only the alignment of their type.
#pragma once
#include <cstddef>
#include <cstdint>

namespace fathom {

struct Bf16Kernel {
  // n elements of x, a multiple of 32, rounded to nearest, ties to even; a magnitude below 2^-126 may become zero, NaN
  // stays NaN. Block b of 32 to out + b * stride.
  void (*round_row)(const float* x, int64_t n, uint16_t* out, int64_t stride) noexcept;

  // y[t * y_stride + r] = <row r of the strips, row t of the activations>, r < 8 n_strips, t < n <= 64, cols a multiple
  // of 32. x: [cols / 32][n][32]. An output is one sum in float32, over pairs of columns in order and in each pair the
  // second column first; its bits depend on its two rows alone: those of ref/packed_matmul.h.
  void (*product)(const std::byte* packed, int64_t n_strips, int64_t cols, const uint16_t* x, int64_t n, float* y,
                  int64_t y_stride) noexcept;
};

}  // namespace fathom
