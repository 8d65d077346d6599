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

template <class Words>
constexpr GemmKernel kernel() noexcept {
  return {.name = "avx2",
          .rows = kRows,
          .cols = kCols,
          .per_word = 1,
          .panel_words = 256,
          .block_bytes = 3 << 16,
          .reads_rows = std::is_same_v<Words, AsFloat>,
          .pack_a = pack_a<Words, kRows>,
          .pack_a_transposed = pack_a_transposed<Words, kRows>,
          .pack_b = pack_b<Words, kCols>,
          .pack_b_transposed = pack_b_transposed<Words, kCols>,
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
