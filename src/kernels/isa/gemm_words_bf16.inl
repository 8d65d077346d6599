// Words of two bfloat16, rounded by AVX512_BF16 (to nearest even; subnormal floats become zero). Included inside the
// anonymous namespace of an instruction set, after gemm_pack_avx512.inl.
struct Pairs {
  using Element = float;
  static constexpr int64_t per_word = 2;
  static __m512i along(const float* p, int64_t n) noexcept {
    const __m512 low = _mm512_maskz_loadu_ps(first_lanes(n), p),
                 high = _mm512_maskz_loadu_ps(first_lanes(n - 16), p + 16);
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
  }
  static __m512i across(const float* p, const float* next, int64_t n) noexcept {
    const __mmask16 lanes = first_lanes(n);
    const __m512 low = _mm512_maskz_loadu_ps(lanes, p),
                 high = next ? _mm512_maskz_loadu_ps(lanes, next) : _mm512_setzero_ps();
    const __m512i halves = (__m512i)_mm512_cvtne2ps_pbh(high, low);  // all of p, then all of next
    const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i order = _mm512_or_si512(lane, _mm512_slli_epi32(_mm512_add_epi32(lane, _mm512_set1_epi32(16)), 16));
    return _mm512_permutexvar_epi16(order, halves);
  }
};

void round_row(const float* x, int64_t n, uint16_t* out) noexcept {
  int64_t i = 0;
  for (; i + 32 <= n; i += 32) _mm512_storeu_si512(out + i, Pairs::along(x + i, 32));
  if (i < n) _mm512_mask_storeu_epi16(out + i, (__mmask32{1} << (n - i)) - 1, Pairs::along(x + i, n - i));
}
