// Eight floats in a register of AVX2, with FMA and F16C. Included by isa/avx2.cpp alone, inside its anonymous
// namespace: nothing here may become a symbol that the linker could share (tools/checks/check_isa_symbols.py).
struct F32 {
  static constexpr int64_t lanes = 8;
  static constexpr int registers = 16;
  __m256 v;

  static F32 zero() noexcept { return {_mm256_setzero_ps()}; }
  static F32 all(float f) noexcept { return {_mm256_set1_ps(f)}; }
  static F32 load(const float* p) noexcept { return {_mm256_loadu_ps(p)}; }
  static F32 load(const uint16_t* bf16) noexcept {
    const __m128i h = _mm_loadu_si128(reinterpret_cast<const __m128i*>(bf16));
    return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16))};
  }
  void store(float* p) const noexcept { _mm256_storeu_ps(p, v); }

  // The first n lanes, 0 <= n <= lanes: the others are zero, their memory is not touched.
  static __m256i first(int64_t n) noexcept {
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(n)), lane);
  }
  static F32 load(const float* p, int64_t n) noexcept { return {_mm256_maskload_ps(p, first(n))}; }
  void store(float* p, int64_t n) const noexcept { _mm256_maskstore_ps(p, first(n), v); }
  F32 keep(int64_t n) const noexcept { return {_mm256_and_ps(v, _mm256_castsi256_ps(first(n)))}; }
  static F32 load_or(const float* p, int64_t n, F32 other) noexcept {
    return {_mm256_blendv_ps(other.v, load(p, n).v, _mm256_castsi256_ps(first(n)))};
  }

  // Eight small integers from the low bytes of b, exactly.
  static F32 from_int8(__m128i b) noexcept { return {_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(b))}; }
  static F32 from_half(const uint16_t* p) noexcept {
    return {_mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
  }

  // One column of eight rows of a strip (isa/float_strips.inl); the strip beside it belongs to wider registers.
  static F32 strip_floats(const std::byte* a, const std::byte*) noexcept {
    return load(reinterpret_cast<const float*>(a));
  }
  static F32 strip_halves(const std::byte* a, const std::byte*) noexcept {
    return from_half(reinterpret_cast<const uint16_t*>(a));
  }
  // 2^-8 of E4M3: its bits as those of a half. Codes of NaN become other numbers.
  static F32 strip_f8(const std::byte* a, const std::byte*) noexcept {
    const __m128i codes = _mm_cvtepi8_epi16(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(a)));
    return {_mm256_cvtph_ps(_mm_andnot_si128(_mm_set1_epi16(0x4000), _mm_slli_epi16(codes, 7)))};
  }
  // Of words that hold two numbers of bfloat16 each.
  F32 lower_bf16() const noexcept { return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(v), 16))}; }
  F32 upper_bf16() const noexcept {
    return {_mm256_and_ps(v, _mm256_castsi256_ps(_mm256_set1_epi32(static_cast<int>(0xFFFF0000u))))};
  }
};

F32 operator+(F32 a, F32 b) noexcept { return {_mm256_add_ps(a.v, b.v)}; }
F32 operator-(F32 a, F32 b) noexcept { return {_mm256_sub_ps(a.v, b.v)}; }
F32 operator*(F32 a, F32 b) noexcept { return {_mm256_mul_ps(a.v, b.v)}; }
F32 operator/(F32 a, F32 b) noexcept { return {_mm256_div_ps(a.v, b.v)}; }
F32 fma(F32 a, F32 b, F32 c) noexcept { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
// a, loaded once and kept: otherwise the compiler repeats the load in every fma that uses a, and loads become the
// limit.
F32 in_register(F32 a) noexcept {
  asm("" : "+x"(a.v));
  return a;
}
F32 swapped_pairs(F32 a) noexcept { return {_mm256_permute_ps(a.v, 0xB1)}; }  // 1 0 3 2 ...
F32 negative(F32 a) noexcept { return {_mm256_xor_ps(a.v, _mm256_set1_ps(-0.0f))}; }
// The larger (smaller) of each lane; b where one of them is NaN.
F32 max(F32 a, F32 b) noexcept { return {_mm256_max_ps(a.v, b.v)}; }
F32 min(F32 a, F32 b) noexcept { return {_mm256_min_ps(a.v, b.v)}; }
F32 round_to_even(F32 a) noexcept { return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)}; }

// p * 2^n, rounded once; n whole, -151 .. 129; p between 1/2 and 2. NaN stays NaN.
F32 times_power_of_two(F32 p, F32 n) noexcept {
  const __m256i i = _mm256_cvtps_epi32(n.v), half = _mm256_srai_epi32(i, 1), bias = _mm256_set1_epi32(127);
  const __m256i low = _mm256_slli_epi32(_mm256_add_epi32(half, bias), 23);
  const __m256i high = _mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(i, half), bias), 23);
  return {_mm256_mul_ps(_mm256_mul_ps(p.v, _mm256_castsi256_ps(low)), _mm256_castsi256_ps(high))};
}

// The sum of all lanes: i and i+4, then i and i+2, then the last two.
float reduce_add(F32 a) noexcept {
  const __m128 four = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

// The sums of the eight vectors at p, one in each lane: the same additions as reduce_add, on several vectors at once.
F32 reduce_add_each(const float* p) noexcept {
  const auto at = [p](int i) { return _mm256_loadu_ps(p + i * 8); };
  const auto fold4 = [](__m256 a, __m256 b) {
    return _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
  };
  const auto fold2 = [](__m256 a, __m256 b) {
    return _mm256_add_ps(_mm256_shuffle_ps(a, b, 0x44), _mm256_shuffle_ps(a, b, 0xEE));
  };
  const __m256 a = fold2(fold4(at(0), at(4)), fold4(at(1), at(5)));
  const __m256 b = fold2(fold4(at(2), at(6)), fold4(at(3), at(7)));
  return {_mm256_add_ps(_mm256_shuffle_ps(a, b, 0x88), _mm256_shuffle_ps(a, b, 0xDD))};
}

// Largest lane; no NaN among them.
float reduce_max(F32 a) noexcept {
  const __m128 four = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  const __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

// low_out[i] = low(code), code the low half of byte i of 16; high_out[i] = high(code), the high half. low and high are
// functions of F32, lane by lane.
template <class Low, class High>
void store_halves(const std::byte* p, Low low, High high, float* low_out, float* high_out) noexcept {
  const __m128i b = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)), mask = _mm_set1_epi8(15);
  const __m128i low_codes = _mm_and_si128(b, mask), high_codes = _mm_and_si128(_mm_srli_epi16(b, 4), mask);
  low(F32::from_int8(low_codes)).store(low_out);
  low(F32::from_int8(_mm_unpackhi_epi64(low_codes, low_codes))).store(low_out + 8);
  high(F32::from_int8(high_codes)).store(high_out);
  high(F32::from_int8(_mm_unpackhi_epi64(high_codes, high_codes))).store(high_out + 8);
}
