// The int16 kernels for AVX2 and FMA. What may be included and defined here: avx2.cpp.
#include <immintrin.h>

#include <utility>

#include "kernels/isa/isa_tables.h"

namespace fathom::avx2 {
namespace {
#include "kernels/simd/avx2.h"
// The order matters: the register type, then what is written against it.
#include "kernels/isa/body.inl"
#include "kernels/isa/gemm_pack_avx2.inl"

constexpr int kCells = 6;     // 6 x 2 sums, 2 vectors of queries, a word of keys, a product: all 16 registers
constexpr int kSumLanes = 4;  // 4 x 2 sums, 2 vectors of values, a word of weights, a product

using Ints = __m256i;
struct Mask {
  __m256 v;
};
Ints load_words(const void* p) noexcept { return _mm256_loadu_si256(static_cast<const __m256i*>(p)); }
void store_words(Ints v, void* p) noexcept { _mm256_storeu_si256(static_cast<__m256i*>(p), v); }
Ints zero_words() noexcept { return _mm256_setzero_si256(); }
Ints in_register(Ints a) noexcept {
  asm("" : "+x"(a));
  return a;
}
Ints all_words(uint32_t w) noexcept { return _mm256_set1_epi32(static_cast<int>(w)); }
Ints add_products(Ints sum, Ints a, Ints b) noexcept { return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b)); }
F32 to_float(Ints i) noexcept { return {_mm256_cvtepi32_ps(i)}; }
Ints rounded(F32 x) noexcept { return _mm256_cvtps_epi32(x.v); }
Ints pairs(Ints even, Ints odd) noexcept { return _mm256_blend_epi16(even, _mm256_slli_epi32(odd, 16), 0xAA); }
Mask greater(Ints a, Ints b) noexcept { return {_mm256_castsi256_ps(_mm256_cmpgt_epi32(a, b))}; }
Mask greater(F32 a, F32 b) noexcept { return {_mm256_cmp_ps(a.v, b.v, _CMP_GT_OQ)}; }
Mask equal(F32 a, F32 b) noexcept { return {_mm256_cmp_ps(a.v, b.v, _CMP_EQ_OQ)}; }
bool all(Mask m) noexcept { return _mm256_movemask_ps(m.v) == 0xFF; }
F32 choose(Mask m, F32 yes, F32 no) noexcept { return {_mm256_blendv_ps(no.v, yes.v, m.v)}; }
__m128i load_codes8(const int8_t* p) noexcept { return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)); }
void store_codes(Ints i, int16_t* p) noexcept {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p),
                   _mm_packs_epi32(_mm256_castsi256_si128(i), _mm256_extracti128_si256(i, 1)));
}
F32 look_up(const float* table, Ints indices) noexcept { return {_mm256_i32gather_ps(table, indices, 4)}; }

// Written against those.
#include "kernels/isa/int16_lanes.inl"

// The first n of eight numbers, the others zero; n may be negative.
F32 load_some(const float* p, int64_t n) noexcept { return {load_first(p, n)}; }
F32 load_some(const uint16_t* p, int64_t n) noexcept {
  if (n >= 8) return F32::load(p);
  uint16_t part[8] = {};
  for (int64_t i = 0; i < n; ++i) part[i] = p[i];
  return F32::load(part);
}

__m256i magnitude(F32 x) noexcept { return _mm256_and_si256(_mm256_set1_epi32(0x7FFFFFFF), _mm256_castps_si256(x.v)); }

// As integers magnitudes are ordered, NaN above infinity.
template <class T>
float largest_magnitude(const T* x, int64_t n) noexcept {
  __m256i a = _mm256_setzero_si256(), b = a;
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    a = _mm256_max_epu32(a, magnitude(F32::load(x + i)));
    b = _mm256_max_epu32(b, magnitude(F32::load(x + i + 8)));
  }
  for (; i < n; i += 8) a = _mm256_max_epu32(a, magnitude(load_some(x + i, n - i)));
  a = _mm256_max_epu32(a, b);
  __m128i four = _mm_max_epu32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
  four = _mm_max_epu32(four, _mm_unpackhi_epi64(four, four));
  four = _mm_max_epu32(four, _mm_shuffle_epi32(four, 0x55));
  return _mm_cvtss_f32(_mm_castsi128_ps(four));
}

__m256i round_16(F32 low, F32 high, F32 inverse) noexcept {
  const __m256i packed =
      _mm256_packs_epi32(_mm256_cvtps_epi32((low * inverse).v), _mm256_cvtps_epi32((high * inverse).v));
  return _mm256_permute4x64_epi64(packed, 0xD8);
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
  int64_t i = 0;
  for (; i + 16 <= n; i += 16)
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes + i),
                        round_16(F32::load(x + i), F32::load(x + i + 8), inverse));
  if (i < n) {
    int16_t part[16];
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(part),
                        round_16(load_some(x + i, n - i), load_some(x + i + 8, n - i - 8), inverse));
    for (int64_t k = 0; i + k < n; ++k) codes[i + k] = part[k];
  }
  return largest / top_prob;
}

Ints load_wide(const std::byte* p) noexcept { return load_words(p); }
Ints load_narrow(const std::byte* p) noexcept {
  return _mm256_cvtepi8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
Ints load_wide(const std::byte* p, int64_t n) noexcept {
  alignas(32) std::byte part[32] = {};
  __builtin_memcpy(part, p, static_cast<size_t>(2 * n));
  return load_wide(part);
}
Ints load_narrow(const std::byte* p, int64_t n) noexcept {
  alignas(16) std::byte part[16] = {};
  __builtin_memcpy(part, p, static_cast<size_t>(n));
  return load_narrow(part);
}
Ints interleave_low(Ints a, Ints b) noexcept { return _mm256_unpacklo_epi16(a, b); }
Ints interleave_high(Ints a, Ints b) noexcept { return _mm256_unpackhi_epi16(a, b); }

void store_columns(F32 low, F32 high, int64_t n, float* out) noexcept {
  float part[16];
  float* to = n >= 16 ? out : part;
  F32{_mm256_permute2f128_ps(low.v, high.v, 0x20)}.store(to);
  F32{_mm256_permute2f128_ps(low.v, high.v, 0x31)}.store(to + 8);
  for (int64_t i = 0; n < 16 && i < n; ++i) out[i] = part[i];
}

// Written against those.
#include "kernels/isa/int16_words.inl"
// Bytes are widened to words.
constexpr auto* pack_query8 = pack_query;
constexpr auto* score_bytes = score_group;
constexpr auto* add_bytes = add_group;
#include "kernels/isa/int16_groups.inl"

// The bits that a plane has of 32 codes, those of columns 32 b and on.
template <int kBits>
__m256i plane_bits(const std::byte* plane, int64_t b) noexcept {
  const auto* at = plane + b * 4 * kBits;
  const __m256i mask = _mm256_set1_epi8((1 << kBits) - 1);
  if constexpr (kBits == 4) {
    const __m256i two = _mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(at)));
    const __m256i units = _mm256_permute4x64_epi64(two, 0x50);
    return _mm256_and_si256(_mm256_srlv_epi64(units, _mm256_setr_epi64x(0, 4, 0, 4)), mask);
  } else if constexpr (kBits == 2) {
    int64_t unit;
    __builtin_memcpy(&unit, at, sizeof unit);
    return _mm256_and_si256(_mm256_srlv_epi64(_mm256_set1_epi64x(unit), _mm256_setr_epi64x(0, 2, 4, 6)), mask);
  } else {
    int64_t unit;
    __builtin_memcpy(&unit, plane + b / 2 * 8, sizeof unit);
    const __m256i shifts = b % 2 == 0 ? _mm256_setr_epi64x(0, 1, 2, 3) : _mm256_setr_epi64x(4, 5, 6, 7);
    return _mm256_and_si256(_mm256_srlv_epi64(_mm256_set1_epi64x(unit), shifts), mask);
  }
}

// The level of each code below 16 kTables: a look-up of sixteen levels for each table, the right one kept.
template <int kTables>
__m256i look_up_levels(__m256i codes, const __m256i (&tables)[4]) noexcept {
  __m256i level = _mm256_shuffle_epi8(tables[0], codes);  // by the low four bits of a code below 128
  for (int t = 1; t < kTables; ++t) {
    const __m256i in_table = _mm256_cmpgt_epi8(codes, _mm256_set1_epi8(static_cast<char>(16 * t - 1)));
    level = _mm256_blendv_epi8(level, _mm256_shuffle_epi8(tables[t], codes), in_table);
  }
  return level;
}

template <int kLow, int kHigh>
void unpack_planes(const CodePlanes& p, int64_t n, const int8_t* levels, int8_t* out) noexcept {
  __m256i tables[4];
  for (int t = 0; t < 4; ++t)
    tables[t] = _mm256_broadcastsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i*>(levels + 16 * t)));
  for (int64_t b = 0; b < n / 32; ++b) {
    __m256i codes = plane_bits<kLow>(p.low, b);
    if constexpr (kHigh > 0) codes = _mm256_or_si256(codes, _mm256_slli_epi16(plane_bits<kHigh>(p.high, b), kLow));
    constexpr int kTables = kLow + kHigh <= 4 ? 1 : 1 << (kLow + kHigh - 4);
    store_words(look_up_levels<kTables>(codes, tables), out + 32 * b);
  }
}

void unpack_levels(const CodePlanes& p, int64_t n, const int8_t* levels, int8_t* out) noexcept {
  if (p.low_bits == 2) return (p.high_bits == 0 ? unpack_planes<2, 0> : unpack_planes<2, 1>)(p, n, levels, out);
  (p.high_bits == 0   ? unpack_planes<4, 0>
   : p.high_bits == 1 ? unpack_planes<4, 1>
                      : unpack_planes<4, 2>)(p, n, levels, out);
}

// vpmaddwd and vpaddd of twelve chains, as the compiler would leave them out or repeat them.
double peak(int64_t rounds) noexcept {
#define FATHOM_CHAIN(i) "vpmaddwd %%ymm15, %%ymm14, %%ymm13; vpaddd %%ymm13, %%ymm" #i ", %%ymm" #i ";"
  for (int64_t i = 0; i < rounds; ++i)
    asm volatile(FATHOM_CHAIN(0) FATHOM_CHAIN(1) FATHOM_CHAIN(2) FATHOM_CHAIN(3) FATHOM_CHAIN(4) FATHOM_CHAIN(5)
                     FATHOM_CHAIN(6) FATHOM_CHAIN(7) FATHOM_CHAIN(8) FATHOM_CHAIN(9) FATHOM_CHAIN(10) FATHOM_CHAIN(11)::
                         : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
                           "xmm11", "xmm12", "xmm13", "xmm14", "xmm15");
#undef FATHOM_CHAIN
  return 2.0 * 16 * 12 * static_cast<double>(rounds);
}

}  // namespace

const Int16Kernel int16 = {
    .name = "avx2",
    .biased_levels = false,
    .begin = nullptr,
    .end = nullptr,
    .quantize = quantize<float>,
    .quantize_bf16 = quantize<uint16_t>,
    .peak = peak,
#include "kernels/isa/int16_table.inl"
};

}  // namespace fathom::avx2
