// The gemm kernel for AVX512_BF16: two products for each lane and instruction. What may be included and defined here:
// avx512.cpp.
#include <immintrin.h>

#include <utility>

#include "kernels/isa/isa_tables.h"

namespace fathom::avx512_bf16 {
namespace {
#include "kernels/simd/avx512.h"
// The order matters: the register type, then what is written against it.
#include "kernels/isa/gemm_pack_avx512.inl"
#include "kernels/isa/gemm_peak.inl"
#include "kernels/isa/gemm_tile.inl"
#include "kernels/isa/gemm_words_bf16.inl"

constexpr int kRows = 14, kCols = 32;  // 14 x 2 sums, 2 vectors of b and a word of a: 31 of 32 registers

struct PairWords {
  using Vector = __m512i;
  static constexpr int products = 2;  // of a lane
  static Vector load(const uint32_t* p) noexcept { return _mm512_load_si512(p); }
  static Vector all(const uint32_t* p) noexcept { return _mm512_set1_epi32(static_cast<int>(*p)); }
  static F32 add_product(Vector a, Vector b, F32 sum) noexcept {
    return {_mm512_dpbf16_ps(sum.v, (__m512bh)a, (__m512bh)b)};
  }
};

}  // namespace

const GemmKernel gemm_bf16 = {.name = "avx512_bf16",
                              .rows = kRows,
                              .cols = kCols,
                              .per_word = 2,
                              .panel_words = 256,
                              .block_bytes = 1 << 19,
                              .rows_in_place = 2,
                              .transposed = word_after_word(kRows),
                              .f32 = packing_of_vectors<Pairs, kRows, kCols>(),
                              .bf16 = packing_of_vectors<StoredPairs, kRows, kCols>(),
                              .round_row = round_row,
                              .multiply = multiply<PairWords, kRows>,
                              .copy = copy,
                              .begin = nullptr,
                              .end = nullptr,
                              .peak = peak<PairWords>};

}  // namespace fathom::avx512_bf16
