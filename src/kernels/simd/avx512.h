// Sixteen floats in a register of AVX-512 (F, BW, VL, DQ). Included by isa/avx512.cpp alone, inside its anonymous
// namespace: nothing here may become a symbol that the linker could share (tools/checks/check_isa_symbols.py).
struct F32 {
  static constexpr int64_t lanes = 16;
  static constexpr int registers = 32;
  __m512 v;

  static F32 zero() noexcept { return {_mm512_setzero_ps()}; }
  static F32 all(float f) noexcept { return {_mm512_set1_ps(f)}; }
  static F32 load(const float* p) noexcept { return {_mm512_loadu_ps(p)}; }
  static F32 load(const uint16_t* bf16) noexcept {
    const __m256i h = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bf16));
    return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16))};
  }
  void store(float* p) const noexcept { _mm512_storeu_ps(p, v); }

  // The first n lanes, 0 <= n <= lanes: the others are zero, their memory is not touched.
  static __mmask16 first(int64_t n) noexcept { return static_cast<__mmask16>((1u << n) - 1); }
  static F32 load(const float* p, int64_t n) noexcept { return {_mm512_maskz_loadu_ps(first(n), p)}; }
  void store(float* p, int64_t n) const noexcept { _mm512_mask_storeu_ps(p, first(n), v); }
  F32 keep(int64_t n) const noexcept { return {_mm512_maskz_mov_ps(first(n), v)}; }
  static F32 load_or(const float* p, int64_t n, F32 other) noexcept {
    return {_mm512_mask_loadu_ps(other.v, first(n), p)};
  }

  // Sixteen small integers from the bytes of b, exactly.
  static F32 from_int8(__m128i b) noexcept { return {_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(b))}; }
  static F32 from_half(const uint16_t* p) noexcept {
    return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
  }

  // One column of eight rows of strip a and, above them, eight of strip b (isa/float_strips.inl).
  static F32 strip_floats(const std::byte* a, const std::byte* b) noexcept {
    const auto eight = [](const std::byte* p) { return _mm256_loadu_ps(reinterpret_cast<const float*>(p)); };
    return {_mm512_insertf32x8(_mm512_castps256_ps512(eight(a)), eight(b), 1)};
  }
  static F32 strip_halves(const std::byte* a, const std::byte* b) noexcept {
    const auto eight = [](const std::byte* p) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); };
    return {_mm512_cvtph_ps(_mm256_inserti128_si256(_mm256_castsi128_si256(eight(a)), eight(b), 1))};
  }
  // 2^-8 of E4M3: its bits as those of a half. Codes of NaN become other numbers.
  static F32 strip_f8(const std::byte* a, const std::byte* b) noexcept {
    const auto eight = [](const std::byte* p) { return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)); };
    const __m256i codes = _mm256_cvtepi8_epi16(_mm_unpacklo_epi64(eight(a), eight(b)));
    return {_mm512_cvtph_ps(_mm256_andnot_si256(_mm256_set1_epi16(0x4000), _mm256_slli_epi16(codes, 7)))};
  }
  // Of words that hold two numbers of bfloat16 each.
  F32 lower_bf16() const noexcept { return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(v), 16))}; }
  F32 upper_bf16() const noexcept {
    return {_mm512_and_ps(v, _mm512_castsi512_ps(_mm512_set1_epi32(static_cast<int>(0xFFFF0000u))))};
  }
};

F32 operator+(F32 a, F32 b) noexcept { return {_mm512_add_ps(a.v, b.v)}; }
F32 operator-(F32 a, F32 b) noexcept { return {_mm512_sub_ps(a.v, b.v)}; }
F32 operator*(F32 a, F32 b) noexcept { return {_mm512_mul_ps(a.v, b.v)}; }
F32 operator/(F32 a, F32 b) noexcept { return {_mm512_div_ps(a.v, b.v)}; }
F32 fma(F32 a, F32 b, F32 c) noexcept { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
// a, loaded once and kept: otherwise the compiler repeats the load in every fma that uses a, and loads become the
// limit.
F32 in_register(F32 a) noexcept {
  asm("" : "+v"(a.v));
  return a;
}
F32 swapped_pairs(F32 a) noexcept { return {_mm512_permute_ps(a.v, 0xB1)}; }  // 1 0 3 2 ...
F32 negative(F32 a) noexcept { return {_mm512_xor_ps(a.v, _mm512_set1_ps(-0.0f))}; }
// The larger (smaller) of each lane; b where one of them is NaN.
F32 max(F32 a, F32 b) noexcept { return {_mm512_max_ps(a.v, b.v)}; }
F32 min(F32 a, F32 b) noexcept { return {_mm512_min_ps(a.v, b.v)}; }
F32 round_to_even(F32 a) noexcept { return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }

// p * 2^n, rounded once; n whole, -151 .. 129; p between 1/2 and 2. NaN stays NaN.
F32 times_power_of_two(F32 p, F32 n) noexcept { return {_mm512_scalef_ps(p.v, n.v)}; }

// The sum of all lanes: i and i+8, then i and i+4, then i and i+2, then the last two.
float reduce_add(F32 a) noexcept {
  const __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

// The sums of the sixteen vectors at p, one in each lane: the same additions as reduce_add, on several vectors at once.
F32 reduce_add_each(const float* p) noexcept {
  const auto at = [p](int i) { return _mm512_loadu_ps(p + i * 16); };
  const auto fold8 = [](__m512 a, __m512 b) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x44), _mm512_shuffle_f32x4(a, b, 0xEE));
  };
  const auto fold4 = [](__m512 a, __m512 b) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xDD));
  };
  // Vectors first, first+4, first+8, first+12, one in each quarter of the register.
  const auto quarters = [&](int first) {
    return fold4(fold8(at(first), at(first + 4)), fold8(at(first + 8), at(first + 12)));
  };
  const auto fold2 = [](__m512 a, __m512 b) {
    return _mm512_add_ps(_mm512_shuffle_ps(a, b, 0x44), _mm512_shuffle_ps(a, b, 0xEE));
  };
  const __m512 a = fold2(quarters(0), quarters(1)), b = fold2(quarters(2), quarters(3));
  return {_mm512_add_ps(_mm512_shuffle_ps(a, b, 0x88), _mm512_shuffle_ps(a, b, 0xDD))};
}

// Largest lane; no NaN among them.
float reduce_max(F32 a) noexcept { return _mm512_reduce_max_ps(a.v); }

// low_out[i] = low(code), code the low half of byte i of 16; high_out[i] = high(code), the high half. low and high are
// functions of F32, lane by lane: they are asked for all sixteen codes at once, and the answers looked up.
template <class Low, class High>
void store_halves(const std::byte* p, Low low, High high, float* low_out, float* high_out) noexcept {
  const F32 codes = {_mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)};
  const __m512i b = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
  F32{_mm512_permutexvar_ps(b, low(codes).v)}.store(low_out);  // looks at the low four bits alone
  F32{_mm512_permutexvar_ps(_mm512_srli_epi32(b, 4), high(codes).v)}.store(high_out);
}
