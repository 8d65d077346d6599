#include <immintrin.h>

#include "linear_peak.h"

namespace fathom::bench::avx512 {

// Sixteen independent chains of fused multiply-adds.
double fma_products(int64_t rounds) noexcept {
  constexpr int kChains = 16;
  __m512 sum[kChains];
#pragma GCC unroll 16
  for (int c = 0; c < kChains; ++c) sum[c] = _mm512_setzero_ps();
  const __m512 a = _mm512_set1_ps(0.5f);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 16
    for (int c = 0; c < kChains; ++c) {
      sum[c] = _mm512_fmadd_ps(a, a, sum[c]);
      asm volatile("" : "+v"(sum[c]));
    }
  }
  return 32.0 * kChains * static_cast<double>(rounds);
}

}  // namespace fathom::bench::avx512
