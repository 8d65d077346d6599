// The int16 kernels for AVX-512 with VNNI: one register holds the lanes of a query tile, and one instruction multiplies
// pairs of int16, or fours of bytes, adds the products and the sum so far. What may be included and defined here:
// avx512.cpp.
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

constexpr int kCells = 8, kSumLanes = 8;  // eight chains for one instruction a cycle with a latency of four

void store_words(Ints v, void* p) noexcept { _mm512_storeu_si512(p, v); }
Ints zero_words() noexcept { return _mm512_setzero_si512(); }
Ints in_register(Ints a) noexcept {
  asm("" : "+v"(a));
  return a;
}
Ints add_products(Ints sum, Ints a, Ints b) noexcept { return _mm512_dpwssd_epi32(sum, a, b); }
F32 to_float(Ints i) noexcept { return {_mm512_cvtepi32_ps(i)}; }
Ints pairs(Ints even, Ints odd) noexcept {
  return _mm512_mask_blend_epi16(0xAAAAAAAA, even, _mm512_slli_epi32(odd, 16));
}

__mmask32 first_codes(int64_t n) noexcept { return n >= 32 ? ~__mmask32{0} : (__mmask32{1} << n) - 1; }
Ints load_wide(const std::byte* p) noexcept { return _mm512_loadu_si512(p); }
Ints load_wide(const std::byte* p, int64_t n) noexcept { return _mm512_maskz_loadu_epi16(first_codes(n), p); }
Ints load_narrow(const std::byte* p) noexcept {
  return _mm512_cvtepi8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
Ints load_narrow(const std::byte* p, int64_t n) noexcept {
  return _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8(first_codes(n), p));
}
Ints interleave_low(Ints a, Ints b) noexcept { return _mm512_unpacklo_epi16(a, b); }
Ints interleave_high(Ints a, Ints b) noexcept { return _mm512_unpackhi_epi16(a, b); }

// Written against those.
#include "kernels/isa/int16_words.inl"
// Written against that.
#include "kernels/isa/int16_bytes.inl"
// And against both.
#include "kernels/isa/int16_groups.inl"

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
    .biased_levels = true,
    .begin = nullptr,
    .end = nullptr,
    .quantize = quantize<float>,
    .quantize_bf16 = quantize<uint16_t>,
    .peak = peak,
#include "kernels/isa/int16_table.inl"
};

}  // namespace fathom::avx512_vnni
