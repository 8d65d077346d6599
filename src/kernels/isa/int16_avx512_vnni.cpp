// The int16 kernels for AVX-512 with VNNI: one register holds the lanes of a query tile, and one instruction multiplies
// pairs, adds the two products and the sum so far. What may be included and defined here: avx512.cpp.
#include <immintrin.h>

#include <utility>

#include "kernels/isa/isa_tables.h"

namespace fathom::avx512_vnni {
namespace {
#include "kernels/simd/avx512.h"
// The order matters: the register type, then what is written against it.
#include "kernels/isa/body.inl"
#include "kernels/isa/gemm_pack_avx512.inl"
#include "kernels/isa/int16_avx512.inl"

// Divides tiles and groups; chains enough for two instructions a cycle with a latency of five.
constexpr int kRows = 16;
constexpr int kFetched = 24;

void store_words(Ints v, void* p) noexcept { _mm512_storeu_si512(p, v); }
Ints zero_words() noexcept { return _mm512_setzero_si512(); }
Ints add_products(Ints sum, Ints a, Ints b) noexcept { return _mm512_dpwssd_epi32(sum, a, b); }
F32 to_float(Ints i) noexcept { return {_mm512_cvtepi32_ps(i)}; }
Ints pairs(Ints even, Ints odd) noexcept {
  return _mm512_mask_blend_epi16(0xAAAAAAAA, even, _mm512_slli_epi32(odd, 16));
}

void widen(const int8_t* bytes, int64_t n, int16_t* codes) noexcept {
  for (int64_t i = 0; i < n; i += 16) {
    const __mmask16 some = first_lanes(n - i);
    _mm256_mask_storeu_epi16(codes + i, some, _mm256_cvtepi8_epi16(_mm_maskz_loadu_epi8(some, bytes + i)));
  }
}

// Sixteen words of the first n of two rows; odd nullptr: zeros. Codes come as 32-bit numbers.
template <class Load>
void interleave_rows(int64_t n, bool has_odd, Load load, uint32_t* words) noexcept {
  for (int64_t i = 0; i < n; i += 16) {
    const __mmask16 some = first_lanes(n - i);
    const Ints odd = has_odd ? load(true, some, i) : zero_words();
    _mm512_mask_storeu_epi32(words + i, some, pairs(load(false, some, i), odd));
  }
}

void interleave(const int16_t* even, const int16_t* odd, int64_t n, uint32_t* words) noexcept {
  const auto load = [&](bool second, __mmask16 some, int64_t i) {
    return _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(some, (second ? odd : even) + i));
  };
  interleave_rows(n, odd != nullptr, load, words);
}

void interleave_bytes(const int8_t* even, const int8_t* odd, int64_t n, uint32_t* words) noexcept {
  const auto load = [&](bool second, __mmask16 some, int64_t i) {
    return _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(some, (second ? odd : even) + i));
  };
  interleave_rows(n, odd != nullptr, load, words);
}

// Written against those.
#include "kernels/isa/int16_words.inl"

void unpack_sums(const float* sums, int64_t n, float* out, int64_t stride) noexcept {
  int64_t i = 0;
  for (; i + 16 <= n; i += 16) {
    __m512i r[16];
    for (int64_t k = 0; k < 16; ++k) r[k] = load_words(sums + (i + k) * kLanes);
    transpose(r);
    for (int64_t k = 0; k < 16; ++k) _mm512_storeu_si512(out + k * stride + i, r[k]);
  }
  for (; i < n; ++i)
    for (int64_t l = 0; l < kLanes; ++l) out[l * stride + i] = sums[i * kLanes + l];
}

// vpdpwssd of twelve chains, as the compiler would leave them out or repeat them.
double peak(int64_t rounds) noexcept {
#define FATHOM_CHAIN(i) "vpdpwssd %%zmm15, %%zmm14, %%zmm" #i ";"
  for (int64_t i = 0; i < rounds; ++i)
    asm volatile(FATHOM_CHAIN(0) FATHOM_CHAIN(1) FATHOM_CHAIN(2) FATHOM_CHAIN(3) FATHOM_CHAIN(4) FATHOM_CHAIN(5)
                     FATHOM_CHAIN(6) FATHOM_CHAIN(7) FATHOM_CHAIN(8) FATHOM_CHAIN(9) FATHOM_CHAIN(10) FATHOM_CHAIN(11)::
                         : "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
                           "xmm11", "xmm14", "xmm15");
#undef FATHOM_CHAIN
  return 2.0 * 32 * 12 * static_cast<double>(rounds);
}

}  // namespace

const Int16Kernel int16 = {
    .name = "avx512_vnni",
    .begin = nullptr,
    .end = nullptr,
    .quantize = quantize<float>,
    .quantize_bf16 = quantize<uint16_t>,
    .peak = peak,
#include "kernels/isa/int16_table.inl"
};

}  // namespace fathom::avx512_vnni
