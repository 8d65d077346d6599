// Products with packed weights (kernels/packed_weight.h) by the dot product of bytes, two strips side by side in one
// register of sixteen rows. Formats, scales and activations are those of packed_avx2.inl; so are the bits: one
// instruction adds the four products of a part, exactly.

namespace packed16 {

using packed::kBlock;
using packed::kMostRows;
using packed::kSums;

#define FATHOM_INLINE __attribute__((always_inline))

// Eight rows of one strip below eight of the other.
__m512i beside(__m256i a, __m256i b) noexcept { return _mm512_inserti64x4(_mm512_castsi256_si512(a), b, 1); }
__m512 beside(__m256 a, __m256 b) noexcept { return _mm512_insertf32x8(_mm512_castps256_ps512(a), b, 1); }
__m512i low_halves16(__m512i b) noexcept { return _mm512_and_si512(b, _mm512_set1_epi8(15)); }
// In memory operands the compiler would load once for every use.
__m512i kept16(__m512i v) noexcept {
  asm("" : "+v"(v));
  return v;
}

struct Scales {
  __m512 scale, other, min;
};
template <class Format>
FATHOM_INLINE inline Scales scales(const typename Format::Unit& a, const typename Format::Unit& b, int block) noexcept {
  const packed::Scales x = Format::scales(a, block), y = Format::scales(b, block);
  return {beside(x.scale, y.scale), beside(x.other, y.other), beside(x.min, y.min)};
}

template <int Bits>
FATHOM_INLINE inline __m512i codes_part(const std::byte* a, const std::byte* b, int p) noexcept {
  const auto both = [&](int at) FATHOM_INLINE { return beside(load32(a + at), load32(b + at)); };
  if constexpr (Bits == 8) return both(32 * p);
  const __m512i pair = both(32 * (p % 4));
  const __m512i low = low_halves16(p < 4 ? pair : _mm512_srli_epi16(pair, 4));
  if constexpr (Bits == 4) return low;
  constexpr int kPlaces = Bits == 5 ? 1 : 2;  // bits of a code in a byte of the upper plane
  const __m512i upper = both(128 + (Bits == 6 ? 32 * (p / 4) : 0));
  const int from = Bits == 5 ? p : p % 4 * 2;  // to bit 4
  const __m512i moved = from <= 4 ? _mm512_slli_epi16(upper, static_cast<unsigned>(4 - from))
                                  : _mm512_srli_epi16(upper, static_cast<unsigned>(from - 4));
  return _mm512_ternarylogic_epi32(low, moved, _mm512_set1_epi8(kPlaces == 1 ? 16 : 48), 0xF8);  // low | (moved & mask)
}

// Signed codes (8 bits) become unsigned by adding 128, which is subtracted from the sum.
template <int Bits>
FATHOM_INLINE inline __m512i unsigned_part(const std::byte* a, const std::byte* b, int p) noexcept {
  const __m512i codes = codes_part<Bits>(a, b, p);
  return Bits == 8 ? _mm512_xor_si512(codes, _mm512_set1_epi8(-128)) : codes;
}

FATHOM_INLINE inline __m512i four_codes(const int8_t* x) noexcept {
  int v;
  __builtin_memcpy(&v, x, sizeof v);
  return _mm512_set1_epi32(v);
}

// The products of parts First .. First + Count - 1 with one row of activations.
template <int First, int Count, class Part>
FATHOM_INLINE inline __m512i multiply_parts(Part part, const int8_t* x) noexcept {
  __m512i sum = _mm512_setzero_si512();
  unroll<Count>(
      [&](int i) FATHOM_INLINE { sum = _mm512_dpbusd_epi32(sum, part(First + i), four_codes(x + 4 * (First + i))); });
  return sum;
}

// sum + a block's product with a row of activations: the operations of ref/packed_matmul.h on its sums of integers,
// counted from Format::zero (high: of the second half, where a format has scales for each).
template <class Format>
FATHOM_INLINE inline __m512 add_scaled(__m512 low, __m512 high, const Scales& w, const float* s, __m512 sum) noexcept {
  __m512 value = _mm512_mul_ps(w.scale, low);
  if constexpr (Format::two) value = _mm512_fmadd_ps(w.other, high, value);
  if constexpr (Format::min) value = _mm512_fmadd_ps(w.min, _mm512_set1_ps(s[1]), value);
  return _mm512_fmadd_ps(value, _mm512_set1_ps(s[0]), sum);
}

// As from_zero() of packed_avx2.inl; unsigned_part() moved the zero of 8-bit codes.
template <class Format>
FATHOM_INLINE inline __m512 from_zero(__m512i products, const float* total) noexcept {
  constexpr int kZero = Format::bits == 8 ? 128 : Format::zero;
  const __m512 sum = _mm512_cvtepi32_ps(products);
  if constexpr (kZero == 0) return sum;
  return _mm512_fmadd_ps(_mm512_set1_ps(-kZero), _mm512_set1_ps(*total), sum);
}

template <class Format, class Part>
FATHOM_INLINE inline __m512 multiply_block(Part part, const Scales& w, const int8_t* x, const float* s,
                                           __m512 sum) noexcept {
  const __m512 low = from_zero<Format>(multiply_parts < 0, Format::two ? 4 : 8 > (part, x), s + (Format::two ? 2 : 1));
  __m512 high = low;
  if constexpr (Format::two) high = from_zero<Format>(multiply_parts<4, 4>(part, x), s + 3);
  return add_scaled<Format>(low, high, w, s, sum);
}

// f(codes of the block in both strips, its scales, number of the block in the row). The two strips that come next are
// fetched at the same pace: with two rows of activations and more, memory is then read while the products are made, not
// before (Sapphire Rapids, one core, q4_0, 4 and 8 rows: 13.4 and 11.1 GB/s; into the first cache 4 KB ahead: 11.3 and
// 8.5). Into the second cache: a fetch into the first one waits in one of its few line buffers.
template <class Format, class F>
FATHOM_INLINE inline void each_block(const std::byte* a, const std::byte* b, int64_t cols, F f) noexcept {
  constexpr int kCodes = 32 * Format::bits, kUnit = Format::header + Format::blocks * kCodes;
  const int64_t units = cols / (kBlock * Format::blocks), far = 2 * units * kUnit;
  for (int64_t u = 0; u < units; ++u, a += kUnit, b += kUnit) {
    const typename Format::Unit unit_a = Format::unit(a), unit_b = Format::unit(b);
    for (int i = 0; i < Format::blocks; ++i) {
      const int at = Format::header + i * kCodes;
      constexpr int kAsked = kCodes + Format::header / Format::blocks;
      packed::prefetch_lines<kAsked, 2>(a + at + far);
      packed::prefetch_lines<kAsked, 2>(b + at + far);
      f(a + at, b + at, scales<Format>(unit_a, unit_b, i), u * Format::blocks + i);
    }
  }
}

// Few rows: their sums stay in registers, and a code is used as soon as it is unpacked.
template <class Format, int N>
void product_few(const std::byte* a, const std::byte* b, int64_t cols, const int8_t* x, const float* sums,
                 __m512* y) noexcept {
  __m512 sum[N];
  unroll<N>([&](int t) FATHOM_INLINE { sum[t] = _mm512_setzero_ps(); });
  each_block<Format>(
      a, b, cols,
      [&](const std::byte* codes_a, const std::byte* codes_b, const Scales& w, int64_t block) FATHOM_INLINE {
        __m512i parts[8];
        unroll<8>([&](int p) FATHOM_INLINE { parts[p] = unsigned_part<Format::bits>(codes_a, codes_b, p); });
        const auto part = [&](int p) FATHOM_INLINE { return parts[p]; };
        unroll<N>([&](int t) FATHOM_INLINE {
          const int64_t at = block * N + t;
          sum[t] = multiply_block<Format>(part, w, x + at * kBlock, sums + at * kSums, sum[t]);
        });
      });
  unroll<N>([&](int t) FATHOM_INLINE { y[t] = sum[t]; });
}

// Many: the codes of a block stay in registers while all rows of activations pass.
template <class Format>
void product_many(const std::byte* a, const std::byte* b, int64_t cols, const int8_t* x, const float* sums, int64_t n,
                  __m512* y) noexcept {
  for (int64_t t = 0; t < n; ++t) y[t] = _mm512_setzero_ps();
  each_block<Format>(
      a, b, cols,
      [&](const std::byte* codes_a, const std::byte* codes_b, const Scales& w, int64_t block) FATHOM_INLINE {
        __m512i parts[8];
        unroll<8>([&](int p) FATHOM_INLINE { parts[p] = kept16(unsigned_part<Format::bits>(codes_a, codes_b, p)); });
        const auto part = [&](int p) FATHOM_INLINE { return parts[p]; };
        const int8_t* block_x = x + block * n * kBlock;
        const float* block_sums = sums + block * n * kSums;
        for (int64_t t = 0; t < n; ++t)
          y[t] = multiply_block<Format>(part, w, block_x + t * kBlock, block_sums + t * kSums, y[t]);
      });
}

template <class Format, int... I>
void product_of(const std::byte* a, const std::byte* b, int64_t cols, const int8_t* x, const float* sums, int64_t n,
                __m512* y, std::integer_sequence<int, I...>) noexcept {
  if (!((n == I + 1 && (product_few<Format, I + 1>(a, b, cols, x, sums, y), true)) || ...))
    product_many<Format>(a, b, cols, x, sums, n, y);
}

// multiply(one strip, the next or the same, y): 16 rows, or 8 twice.
template <class Format, class Multiply>
FATHOM_INLINE inline void each_pair(const std::byte* strip, int64_t n_strips, int64_t cols, int64_t n, float* y,
                                    int64_t y_stride, Multiply multiply) noexcept {
  constexpr int kUnit = Format::header + Format::blocks * 32 * Format::bits;
  const int64_t bytes = cols / (kBlock * Format::blocks) * kUnit;
  __m512 rows[kMostRows];
  for (int64_t p = 0; p < n_strips; p += 2, strip += 2 * bytes, y += 16) {
    const bool two = p + 1 < n_strips;  // else half of it is thrown away
    multiply(strip, two ? strip + bytes : strip, rows);
    const __mmask16 lanes = two ? 0xFFFF : 0x00FF;
    for (int64_t t = 0; t < n; ++t) _mm512_mask_storeu_ps(y + t * y_stride, lanes, rows[t]);
  }
}

template <class Format>
void product(const std::byte* strip, int64_t n_strips, int64_t cols, const int8_t* x, const float* sums, int64_t n,
             float* y, int64_t y_stride) noexcept {
  constexpr int kFew = 8;
  each_pair<Format>(strip, n_strips, cols, n, y, y_stride,
                    [&](const std::byte* a, const std::byte* b, __m512* rows) FATHOM_INLINE {
                      product_of<Format>(a, b, cols, x, sums, n, rows, std::make_integer_sequence<int, kFew>{});
                    });
}

// vpdpbusd of twelve chains.
double peak(int64_t rounds) noexcept {
  const __m512i x = _mm512_set1_epi8(2), codes = _mm512_set1_epi8(3);
  __m512i sum[12];
  unroll<12>([&](int c) FATHOM_INLINE { sum[c] = x; });
  for (int64_t i = 0; i < rounds; ++i)
    unroll<12>([&](int c) FATHOM_INLINE { sum[c] = _mm512_dpbusd_epi32(sum[c], kept16(codes), x); });
  __m512i all = sum[0];
  unroll<11>([&](int c) FATHOM_INLINE { all = _mm512_add_epi32(all, sum[c + 1]); });
  volatile int used = _mm512_reduce_add_epi32(all);
  static_cast<void>(used);  // or there is no loop
  return 2.0 * 64 * 12 * static_cast<double>(rounds);
}

#undef FATHOM_INLINE

}  // namespace packed16
