// The int16 kernels of AVX-512 that do not multiply integers: softmax and codes, one register for the lanes of a
// query tile. Included inside the anonymous namespace of an instruction set, after body.inl and gemm_pack_avx512.inl.

using Ints = __m512i;
struct Mask {
  __mmask16 v;
};
Ints load_words(const void* p) noexcept { return _mm512_loadu_si512(p); }
Ints all_words(uint32_t w) noexcept { return _mm512_set1_epi32(static_cast<int>(w)); }
Ints rounded(F32 x) noexcept { return _mm512_cvtps_epi32(x.v); }
Mask greater(Ints a, Ints b) noexcept { return {_mm512_cmpgt_epi32_mask(a, b)}; }
Mask greater(F32 a, F32 b) noexcept { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ)}; }
Mask equal(F32 a, F32 b) noexcept { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)}; }
bool all(Mask m) noexcept { return m.v == 0xFFFF; }
F32 choose(Mask m, F32 yes, F32 no) noexcept { return {_mm512_mask_blend_ps(m.v, no.v, yes.v)}; }
__m128i load_codes8(const int8_t* p) noexcept { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(p)); }
void store_codes(Ints i, int16_t* p) noexcept {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(i));
}
F32 look_up(const float* table, Ints indices) noexcept { return {_mm512_i32gather_ps(indices, table, 4)}; }

// Written against those.
#include "kernels/isa/int16_lanes.inl"

// The first n of sixteen numbers, the others zero; n may be larger.
F32 load_some(const float* p, int64_t n) noexcept { return {_mm512_maskz_loadu_ps(first_lanes(n), p)}; }
F32 load_some(const uint16_t* p, int64_t n) noexcept {
  const __m256i h = _mm256_maskz_loadu_epi16(first_lanes(n), p);
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16))};
}

// The bits that a plane has of 64 codes, those of columns 64 b and on.
template <int kBits>
__m512i plane_bits(const std::byte* plane, int64_t b) noexcept {
  const auto* at = plane + b * 8 * kBits;
  const __m512i mask = _mm512_set1_epi8((1 << kBits) - 1);
  __m512i units, shifts;
  if constexpr (kBits == 4) {
    units = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 0, 1, 1, 2, 2, 3, 3),
                                     _mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(at))));
    shifts = _mm512_setr_epi64(0, 4, 0, 4, 0, 4, 0, 4);
  } else if constexpr (kBits == 2) {
    units = _mm512_permutexvar_epi64(_mm512_setr_epi64(0, 0, 0, 0, 1, 1, 1, 1),
                                     _mm512_castsi128_si512(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at))));
    shifts = _mm512_setr_epi64(0, 2, 4, 6, 0, 2, 4, 6);
  } else {
    int64_t unit;
    __builtin_memcpy(&unit, at, sizeof unit);
    units = _mm512_set1_epi64(unit);
    shifts = _mm512_setr_epi64(0, 1, 2, 3, 4, 5, 6, 7);
  }
  return _mm512_and_si512(_mm512_srlv_epi64(units, shifts), mask);
}

template <int kLow, int kHigh>
void unpack_planes(const CodePlanes& p, int64_t n, const int8_t* levels, int8_t* out) noexcept {
  constexpr int kTables = kLow + kHigh <= 4 ? 1 : 1 << (kLow + kHigh - 4);
  __m512i tables[4];
  for (int t = 0; t < kTables; ++t)
    tables[t] = _mm512_broadcast_i32x4(_mm_loadu_si128(reinterpret_cast<const __m128i*>(levels + 16 * t)));
  for (int64_t b = 0; b < n / 64; ++b) {
    __m512i codes = plane_bits<kLow>(p.low, b);
    if constexpr (kHigh > 0) codes = _mm512_or_si512(codes, _mm512_slli_epi16(plane_bits<kHigh>(p.high, b), kLow));
    __m512i level = _mm512_shuffle_epi8(tables[0], codes);  // by the low four bits of a code below 128
    for (int t = 1; t < kTables; ++t) {
      const __mmask64 in_table = _mm512_cmpgt_epi8_mask(codes, _mm512_set1_epi8(static_cast<char>(16 * t - 1)));
      level = _mm512_mask_shuffle_epi8(level, in_table, tables[t], codes);
    }
    _mm512_storeu_si512(out + 64 * b, level);
  }
}

void unpack_levels(const CodePlanes& p, int64_t n, const int8_t* levels, int8_t* out) noexcept {
  if (p.low_bits == 2) return (p.high_bits == 0 ? unpack_planes<2, 0> : unpack_planes<2, 1>)(p, n, levels, out);
  (p.high_bits == 0   ? unpack_planes<4, 0>
   : p.high_bits == 1 ? unpack_planes<4, 1>
                      : unpack_planes<4, 2>)(p, n, levels, out);
}

// As integers magnitudes are ordered, NaN above infinity.
template <class T>
float largest_magnitude(const T* x, int64_t n) noexcept {
  const __m512i magnitude = _mm512_set1_epi32(0x7FFFFFFF);
  __m512i a = _mm512_setzero_si512();
  for (int64_t i = 0; i < n; i += 16)
    a = _mm512_max_epu32(a, _mm512_and_si512(_mm512_castps_si512(load_some(x + i, n - i).v), magnitude));
  return __builtin_bit_cast(float, _mm512_reduce_max_epu32(a));
}

template <class T>
float quantize(const T* x, int64_t n, int limit, int16_t* codes) noexcept {
  const float largest = largest_magnitude(x, n), top_prob = static_cast<float>(limit);
  const bool usable = largest >= 1e-30f && largest <= 3.40282347e38f;
  if (!usable) {
    for (int64_t i = 0; i < n; ++i) codes[i] = 0;
    return largest < 1e-30f ? 0.0f : __builtin_nanf("");
  }
  const F32 inverse = F32::all(top_prob / largest);
  for (int64_t i = 0; i < n; i += 16) {
    const __m512i rounded = _mm512_cvtps_epi32((load_some(x + i, n - i) * inverse).v);
    _mm256_mask_storeu_epi16(codes + i, first_lanes(n - i), _mm512_cvtepi32_epi16(rounded));
  }
  return largest / top_prob;
}

// Sixteen-bit rows that were interleaved leave the sums of 32 columns in two registers, four columns of `low` and four
// of `high` by turns. Writes the first n of them in order.
void store_columns(F32 low, F32 high, int64_t n, float* out) noexcept {
  const __m512i first = _mm512_setr_epi64(0, 1, 8, 9, 2, 3, 10, 11),
                second = _mm512_setr_epi64(4, 5, 12, 13, 6, 7, 14, 15);
  const __m512i a = _mm512_castps_si512(low.v), b = _mm512_castps_si512(high.v);
  _mm512_mask_storeu_epi32(out, first_lanes(n), _mm512_permutex2var_epi64(a, first, b));
  _mm512_mask_storeu_epi32(out + 16, first_lanes(n - 16), _mm512_permutex2var_epi64(a, second, b));
}
