// Products with packed weights of bfloat16 by AVX512_BF16: a word of a strip is a pair of columns of one row, and one
// instruction adds the two products of sixteen rows. What may be included and defined here: avx512.cpp.
#include <immintrin.h>

#include <utility>

#include "kernels/isa/isa_tables.h"

namespace fathom::avx512_bf16 {
namespace {
#include "kernels/simd/unroll.h"

#define FATHOM_INLINE __attribute__((always_inline))

constexpr int64_t kBlock = 32, kRows = 8, kBlockBytes = kRows * kBlock * 2;  // those of packed_weight.h

void round_row(const float* x, int64_t n, uint16_t* out, int64_t stride) noexcept {
  for (int64_t i = 0; i < n; i += kBlock, x += kBlock, out += stride)
    _mm512_storeu_si512(out, (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + 16), _mm512_loadu_ps(x)));
}

// In memory operands the compiler would load once for every use.
FATHOM_INLINE inline __m512i kept(__m512i v) noexcept {
  asm("" : "+v"(v));
  return v;
}
// Eight rows of one strip below eight of the other.
FATHOM_INLINE inline __m512i beside(const std::byte* a, const std::byte* b) noexcept {
  const auto eight = [](const std::byte* p)
                         FATHOM_INLINE { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)); };
  return kept(_mm512_inserti64x4(_mm512_castsi256_si512(eight(a)), eight(b), 1));
}
FATHOM_INLINE inline __m512i pair_of(const uint16_t* x) noexcept {
  int v;
  __builtin_memcpy(&v, x, sizeof v);
  return kept(_mm512_set1_epi32(v));
}

// 16 Pairs rows of weights, in strips `apart` bytes from each other, with N rows of activations, block b of which is at
// x + b * x_block. A pair of activations is loaded once for all rows of weights, and the strips that come next are
// fetched at the pace of the products.
template <int Pairs, int N>
void product_of(const std::byte* strip, int64_t apart, int64_t cols, const uint16_t* x, int64_t x_block, float* y,
                int64_t y_stride) noexcept {
  __m512 sum[N][Pairs];
  unroll<N>([&](int t) FATHOM_INLINE { unroll<Pairs>([&](int p) FATHOM_INLINE { sum[t][p] = _mm512_setzero_ps(); }); });
  for (int64_t b = 0; b < cols / kBlock; ++b, strip += kBlockBytes, x += x_block) {
    for (int s = 0; s < 2 * Pairs; ++s)
      for (int i = 0; i < kBlockBytes; i += 64)
        __builtin_prefetch(strip + (2 * Pairs + s) * apart + i, 0, 2);  // into the second cache
    unroll<kBlock / 2>([&](int word) FATHOM_INLINE {
      __m512i w[Pairs];
      unroll<Pairs>([&](int p) FATHOM_INLINE {
        const std::byte* at = strip + 2 * p * apart + word * kRows * 4;
        w[p] = beside(at, at + apart);
      });
      unroll<N>([&](int t) FATHOM_INLINE {
        const __m512i pair = pair_of(x + t * kBlock + 2 * word);
        unroll<Pairs>([&](int p)
                          FATHOM_INLINE { sum[t][p] = _mm512_dpbf16_ps(sum[t][p], (__m512bh)w[p], (__m512bh)pair); });
      });
    });
  }
  unroll<N>([&](int t) FATHOM_INLINE {
    unroll<Pairs>([&](int p) FATHOM_INLINE { _mm512_storeu_ps(y + t * y_stride + 16 * p, sum[t][p]); });
  });
}

template <int Pairs, int... I>
void product_of(int64_t n, const std::byte* strip, int64_t apart, int64_t cols, const uint16_t* x, int64_t x_block,
                float* y, int64_t y_stride, std::integer_sequence<int, I...>) noexcept {
  static_cast<void>(
      ((n == I + 1 && (product_of<Pairs, I + 1>(strip, apart, cols, x, x_block, y, y_stride), true)) || ...));
}

// Up to kMost rows of activations have their sums in registers, beside two of weights and one of activations; more pass
// in parts of nearly equal size, for which the second cache keeps the strips.
template <int Pairs>
void product_in_parts(const std::byte* strip, int64_t apart, int64_t cols, const uint16_t* x, int64_t n, float* y,
                      int64_t y_stride) noexcept {
  constexpr int kMost = 12;
  const int64_t parts = (n + kMost - 1) / kMost;
  for (int64_t i = 0; i < parts; ++i) {
    const int64_t first = n * i / parts, end = n * (i + 1) / parts;
    product_of<Pairs>(end - first, strip, apart, cols, x + first * kBlock, n * kBlock, y + first * y_stride, y_stride,
                      std::make_integer_sequence<int, kMost>{});
  }
}

void product(const std::byte* packed, int64_t n_strips, int64_t cols, const uint16_t* x, int64_t n, float* y,
             int64_t y_stride) noexcept {
  const int64_t apart = cols / kBlock * kBlockBytes;
  int64_t s = 0;
  for (; s + 4 <= n_strips; s += 4, packed += 4 * apart, y += 4 * kRows)
    product_in_parts<2>(packed, apart, cols, x, n, y, y_stride);
  alignas(64) float rows[64 * 2 * kRows];
  for (; s < n_strips; s += 2, packed += 2 * apart, y += 2 * kRows) {
    const bool two = s + 1 < n_strips;  // else half of it is thrown away
    product_in_parts<1>(packed, two ? apart : 0, cols, x, n, rows, 2 * kRows);
    for (int64_t t = 0; t < n; ++t)
      _mm512_mask_storeu_ps(y + t * y_stride, two ? 0xFFFF : 0x00FF, _mm512_load_ps(rows + t * 2 * kRows));
  }
}

#undef FATHOM_INLINE

}  // namespace

const Bf16Kernel bf16 = {.round_row = round_row, .product = product};

}  // namespace fathom::avx512_bf16
