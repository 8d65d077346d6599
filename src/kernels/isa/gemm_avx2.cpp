// The gemm kernels for AVX2 and FMA. What may be included and defined here: avx2.cpp.
#include <immintrin.h>

#include <type_traits>
#include <utility>

#include "kernels/isa/isa_tables.h"

namespace fathom::avx2 {
namespace {
#include "kernels/simd/avx2.h"
// The order matters: the register type, then what is written against it.
#include "kernels/isa/gemm_pack_avx2.inl"
#include "kernels/isa/gemm_peak.inl"
#include "kernels/isa/gemm_tile.inl"

constexpr int kRows = 6, kCols = 16;  // 6 x 2 sums, 2 vectors of b and a word of a: 15 of 16 registers

void round_row(const float* x, int64_t n, uint16_t* out) noexcept {
  for (int64_t i = 0; i < n; i += 8) {
    alignas(32) uint32_t words[8];
    store(Rounded::words(load_first(x + i, n - i)), words);
    for (int64_t j = 0; j < (n - i < 8 ? n - i : 8); ++j) out[i + j] = static_cast<uint16_t>(words[j] >> 16);
  }
}

template <class Words>
constexpr GemmKernel kernel() noexcept {
  return {.name = "avx2",
          .rows = kRows,
          .cols = kCols,
          .per_word = 1,
          .panel_words = 256,
          .block_bytes = 3 << 16,
          .rows_in_place = std::is_same_v<Words, AsFloat> ? 4 : 0,
          .transposed = row_after_row(kRows),
          .f32 = packing<Words, kRows, kCols>(),
          .bf16 = packing<Widened, kRows, kCols>(),
          .round_row = std::is_same_v<Words, AsFloat> ? nullptr : round_row,
          .multiply = multiply<FloatWords, kRows>,
          .copy = copy,
          .begin = nullptr,
          .end = nullptr,
          .peak = peak<FloatWords>};
}

}  // namespace

const GemmKernel gemm_f32 = kernel<AsFloat>();
const GemmKernel gemm_bf16 = kernel<Rounded>();

}  // namespace fathom::avx2
