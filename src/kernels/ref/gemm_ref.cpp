// The gemm kernels in plain loops, for any machine.
#include <type_traits>

#include "kernels/isa/isa_tables.h"

namespace fathom::ref {
namespace {
#include "kernels/isa/gemm_pack_plain.inl"

constexpr int64_t kRows = 4, kCols = 8;

float float_of(uint32_t word) noexcept {
  float f;
  __builtin_memcpy(&f, &word, sizeof f);
  return f;
}

void multiply(int64_t words, const uint32_t* a, RowLayout layout, const uint32_t* b, float* c, int64_t stride,
              int64_t n_rows, bool add, const uint32_t*) noexcept {
  for (int64_t i = 0; i < n_rows; ++i, c += stride) {
    float sum[kCols] = {};
    for (int64_t j = 0; add && j < kCols; ++j) sum[j] = c[j];
    for (int64_t d = 0; d < words; ++d) {
      const float row = float_of(a[d / kWordBlock * layout.block + i * layout.row + d % kWordBlock * layout.word]);
      for (int64_t j = 0; j < kCols; ++j) sum[j] += row * float_of(b[d * kCols + j]);
    }
    for (int64_t j = 0; j < kCols; ++j) c[j] = sum[j];
  }
}

void copy(const float* from, int64_t from_stride, float* to, int64_t to_stride, int64_t n_rows,
          int64_t n_cols) noexcept {
  for (int64_t i = 0; i < n_rows; ++i)
    for (int64_t j = 0; j < n_cols; ++j) to[i * to_stride + j] = from[i * from_stride + j];
}

void round_row(const float* x, int64_t n, uint16_t* out) noexcept {
  for (int64_t i = 0; i < n; ++i) out[i] = static_cast<uint16_t>(Rounded::word(x[i]) >> 16);
}

template <class Words>
constexpr GemmKernel kernel() noexcept {
  return {.name = "ref",
          .rows = kRows,
          .cols = kCols,
          .per_word = 1,
          .panel_words = 256,
          .block_bytes = 1 << 18,
          .rows_in_place = std::is_same_v<Words, AsFloat> ? 4 : 0,
          .transposed = row_after_row(kRows),
          .f32 = packing<Words, kRows, kCols>(),
          .bf16 = packing<Widened, kRows, kCols>(),
          .round_row = std::is_same_v<Words, AsFloat> ? nullptr : round_row,
          .multiply = multiply,
          .copy = copy,
          .begin = nullptr,
          .end = nullptr,
          .peak = nullptr};
}

}  // namespace

const GemmKernel gemm_f32 = kernel<AsFloat>();
const GemmKernel gemm_bf16 = kernel<Rounded>();

}  // namespace fathom::ref
