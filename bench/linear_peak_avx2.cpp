#include <immintrin.h>

#include "linear_peak.h"

namespace fathom::bench::avx2 {

// Twelve independent chains of fused multiply-adds.
double fma_products(int64_t rounds) noexcept {
  constexpr int kChains = 12;
  __m256 sum[kChains];
#pragma GCC unroll 16
  for (int c = 0; c < kChains; ++c) sum[c] = _mm256_setzero_ps();
  const __m256 a = _mm256_set1_ps(0.5f);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 16
    for (int c = 0; c < kChains; ++c) {
      sum[c] = _mm256_fmadd_ps(a, a, sum[c]);
      asm volatile("" : "+x"(sum[c]));
    }
  }
  return 16.0 * kChains * static_cast<double>(rounds);
}

}  // namespace fathom::bench::avx2
