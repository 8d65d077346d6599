// The gemm kernels for AVX-512 F, BW, VL, DQ. What may be included and defined here: avx512.cpp.
#include <immintrin.h>

#include <type_traits>
#include <utility>

#include "kernels/isa/isa_tables.h"

namespace fathom::avx512 {
namespace {
#include "kernels/simd/avx512.h"
// The order matters: the register type, then what is written against it.
#include "kernels/isa/gemm_pack_avx512.inl"
#include "kernels/isa/gemm_peak.inl"
#include "kernels/isa/gemm_tile.inl"

constexpr int kRows = 14, kCols = 32;  // 14 x 2 sums, 2 vectors of b and a word of a: 31 of 32 registers

// Floats that equal p rounded to bfloat16, as f32_to_bf16 of tensor/dtype.h rounds.
struct Rounded {
  using Element = float;
  static constexpr int64_t per_word = 1;
  static __m512i along(const float* p, int64_t n) noexcept {
    const __m512 f = _mm512_maskz_loadu_ps(first_lanes(n), p);
    const __m512i u = _mm512_castps_si512(f), upper = _mm512_set1_epi32(static_cast<int>(0xFFFF0000u));
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
    const __m512i rounded = _mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
    const __m512i quiet = _mm512_or_si512(u, _mm512_set1_epi32(0x400000));
    return _mm512_and_si512(_mm512_mask_mov_epi32(rounded, _mm512_cmp_ps_mask(f, f, _CMP_UNORD_Q), quiet), upper);
  }
  static __m512i across(const float* p, const float*, int64_t n) noexcept { return along(p, n); }
};

void round_row(const float* x, int64_t n, uint16_t* out) noexcept {
  for (int64_t i = 0; i < n; i += 16) {
    const __m512i words = Rounded::along(x + i, n - i);
    _mm256_mask_storeu_epi16(out + i, first_lanes(n - i), _mm512_cvtepi32_epi16(_mm512_srli_epi32(words, 16)));
  }
}

template <class Words>
constexpr GemmKernel kernel() noexcept {
  return {.name = "avx512",
          .rows = kRows,
          .cols = kCols,
          .per_word = 1,
          .panel_words = 256,
          .block_bytes = 1 << 19,
          .rows_in_place = std::is_same_v<Words, AsFloat> ? 4 : 0,
          .transposed = word_after_word(kRows),
          .f32 = packing_of_vectors<Words, kRows, kCols>(),
          .bf16 = packing_of_vectors<Widened, kRows, kCols>(),
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

}  // namespace fathom::avx512
