// What the units can do between registers alone with products of bytes: four vpmaddubsw, their sums of 16 bits added,
// one vpmaddwd and one vpaddd, which is the densest step of panels_avx2.inl. Returns the operations of all `rounds`,
// two for each multiply-add. Included after panels_avx2.inl.
double byte_peak(int64_t rounds) noexcept {
  constexpr int kChains = 3, kStep = 4;
  const __m256i ones = _mm256_set1_epi16(1), x = _mm256_set1_epi8(2);
  __m256i codes = _mm256_set1_epi8(3), sum[kChains] = {};
  for (int64_t i = 0; i < rounds; ++i)
    unroll<kChains>([&](int c) {
      __m256i words = _mm256_maddubs_epi16(codes, x);
      for (int s = 1; s < kStep; ++s) {
        codes = panels::kept(codes);  // or the compiler would multiply once
        words = _mm256_add_epi16(words, _mm256_maddubs_epi16(codes, x));
      }
      sum[c] = _mm256_add_epi32(sum[c], _mm256_madd_epi16(panels::kept(words), ones));
    });
  for (int c = 1; c < kChains; ++c) sum[0] = _mm256_add_epi32(sum[0], sum[c]);
  volatile int used = _mm256_extract_epi32(sum[0], 0);  // or it would leave the loop out
  static_cast<void>(used);
  return 2.0 * 32 * kStep * kChains * static_cast<double>(rounds);
}
