#include "measure/byte_peak.h"

#include <algorithm>

#include "kernels/dispatch.h"
#include "kernels/peak.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace fathom {
namespace {

#if defined(__x86_64__)

// On functions of this file alone: nothing that the linker could share carries these instructions.
#define FATHOM_AVX2 __attribute__((target("avx2"), always_inline)) inline

// Or the compiler would see that all products are the same, and multiply once.
FATHOM_AVX2 __m256i kept(__m256i v) noexcept {
  asm("" : "+x"(v));
  return v;
}

FATHOM_AVX2 __m256i four_products(__m256i codes, __m256i x, __m256i ones, __m256i sum) noexcept {
  __m256i words = _mm256_maddubs_epi16(kept(codes), x);
  for (int i = 1; i < 4; ++i) words = _mm256_add_epi16(words, _mm256_maddubs_epi16(kept(codes), x));
  return _mm256_add_epi32(sum, _mm256_madd_epi16(words, ones));
}

// Returns the operations of all rounds.
__attribute__((target("avx2"))) double run_products(int64_t rounds) noexcept {
  const __m256i ones = _mm256_set1_epi16(1), x = _mm256_set1_epi8(2), codes = _mm256_set1_epi8(3);
  __m256i a = ones, b = x, c = codes;  // three chains of sums
  for (int64_t i = 0; i < rounds; ++i) {
    a = four_products(codes, x, ones, a);
    b = four_products(codes, x, ones, b);
    c = four_products(codes, x, ones, c);
  }
  volatile int used = _mm256_extract_epi32(_mm256_add_epi32(a, _mm256_add_epi32(b, c)), 0);  // or there is no loop
  static_cast<void>(used);
  return 2.0 * 32 * 4 * 3 * static_cast<double>(rounds);
}

bool can_run() { return kernels().isa == Isa::avx2 || kernels().isa == Isa::avx512; }

#else

double run_products(int64_t) noexcept { return 0; }
bool can_run() { return false; }

#endif

}  // namespace

double peak_byte_products(ThreadPool& pool, double seconds) {
  if (!can_run()) return 0;
  constexpr int64_t kRounds = 200000;
  double best = 0, total = 0;
  while (total < seconds) {
    const double start = clock_seconds();
    pool.run([](int) { run_products(kRounds); });
    const double taken = clock_seconds() - start;
    best = std::max(best, run_products(1) * static_cast<double>(kRounds) * pool.size() / taken);
    total += taken;
  }
  return best;
}

}  // namespace fathom
