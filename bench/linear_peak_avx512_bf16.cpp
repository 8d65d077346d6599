#include <immintrin.h>

#include "linear_peak.h"

namespace fathom::bench::avx512_bf16 {

// Sixteen independent chains of dot products of pairs.
double dot_products(int64_t rounds) noexcept {
  constexpr int kChains = 16;
  __m512 sum[kChains];
#pragma GCC unroll 16
  for (int c = 0; c < kChains; ++c) sum[c] = _mm512_setzero_ps();
  const __m512bh a = (__m512bh)_mm512_set1_epi32(0x3F003F00);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 16
    for (int c = 0; c < kChains; ++c) {
      sum[c] = _mm512_dpbf16_ps(sum[c], a, a);
      asm volatile("" : "+v"(sum[c]));
    }
  }
  return 64.0 * kChains * static_cast<double>(rounds);
}

}  // namespace fathom::bench::avx512_bf16
