// Products with packed weights (kernels/packed_weight.h) by the dot product of bytes, two strips side by side in one
// register of sixteen rows. Formats, scales and activations are those of packed_avx2.inl; so are the bits: one
// instruction adds the four products of a part, exactly.

namespace packed16 {

using packed::kBlock;
using packed::kMostRows;
using packed::strip_bytes;

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

// begin + the products of parts First .. First + Count - 1 with one row of activations.
template <int First, int Count, class Part>
FATHOM_INLINE inline __m512i multiply_parts(Part part, const int8_t* x, __m512i begin) noexcept {
  __m512i sum = begin;
  unroll<Count>(
      [&](int i) FATHOM_INLINE { sum = _mm512_dpbusd_epi32(sum, part(First + i), four_codes(x + 4 * (First + i))); });
  return sum;
}

// sum + a block's product with a row of activations: the operations of ref/packed_matmul.h on its sums of integers,
// counted from Format::zero (high: of the second half, where a format has scales for each).
template <class Format>
FATHOM_INLINE inline __m512 add_scaled(__m512 low, __m512 high, const Scales& w, const BlockSums& s,
                                       __m512 sum) noexcept {
  __m512 value = _mm512_mul_ps(w.scale, low);
  if constexpr (Format::two) value = _mm512_fmadd_ps(w.other, high, value);
  if constexpr (Format::min) value = _mm512_fmadd_ps(w.min, _mm512_set1_ps(s.total), value);
  return _mm512_fmadd_ps(value, _mm512_set1_ps(s.scale), sum);
}

// What an integer product begins with, so that codes count from Format::zero; unsigned_part() moved the zero of 8-bit
// codes. offset: of BlockSums.
template <class Format>
FATHOM_INLINE inline __m512i from_zero(int offset) noexcept {
  constexpr int kZero = Format::bits == 8 ? 128 : Format::zero;
  if constexpr (kZero == 0) return _mm512_setzero_si512();
  return _mm512_set1_epi32(kZero / 8 * offset);
}

template <class Format, class Part>
FATHOM_INLINE inline __m512 multiply_block(Part part, const Scales& w, const int8_t* x, const BlockSums& s,
                                           __m512 sum) noexcept {
  if constexpr (Format::two) {
    const __m512i low = multiply_parts<0, 4>(part, x, from_zero<Format>(s.offset_first)),
                  high = multiply_parts<4, 4>(part, x, from_zero<Format>(s.offset - s.offset_first));
    return add_scaled<Format>(_mm512_cvtepi32_ps(low), _mm512_cvtepi32_ps(high), w, s, sum);
  } else {
    const __m512 all = _mm512_cvtepi32_ps(multiply_parts<0, 8>(part, x, from_zero<Format>(s.offset)));
    return add_scaled<Format>(all, all, w, s, sum);
  }
}

// Strips that are read side by side, two for each register of sixteen rows, and a block of them.
template <int Pairs>
struct Strips {
  const std::byte* at[2 * Pairs];
};
template <int Pairs>
struct Block {
  const std::byte* codes[2 * Pairs];
  Scales scales[Pairs];
  int64_t number;  // in the row
};

// f(block) for each block of columns. The strips that come next are fetched at the same pace: with two rows of
// activations and more, memory is then read while the products are made, not before (Sapphire Rapids, one core, q4_0, 4
// and 8 rows: 13.4 and 11.1 GB/s; into the first cache 4 KB ahead: 11.3 and 8.5). Into the second cache: a fetch into
// the first one waits in one of its few line buffers.
template <class Format, int Pairs, class F>
FATHOM_INLINE inline void each_block(Strips<Pairs> strips, int64_t cols, F f) noexcept {
  constexpr int kCodes = 32 * Format::bits, kUnit = Format::header + Format::blocks * kCodes;
  const int64_t units = cols / (kBlock * Format::blocks), far = 2 * Pairs * units * kUnit;
  for (int64_t u = 0; u < units; ++u) {
    typename Format::Unit unit[2 * Pairs];
    unroll<2 * Pairs>([&](int s) FATHOM_INLINE { unit[s] = Format::unit(strips.at[s]); });
    for (int i = 0; i < Format::blocks; ++i) {
      Block<Pairs> block;
      unroll<2 * Pairs>([&](int s) FATHOM_INLINE {
        block.codes[s] = strips.at[s] + Format::header + i * kCodes;
        packed::prefetch_lines<kCodes + Format::header / Format::blocks, 2>(block.codes[s] + far);
      });
      unroll<Pairs>([&](int p) FATHOM_INLINE { block.scales[p] = scales<Format>(unit[2 * p], unit[2 * p + 1], i); });
      block.number = u * Format::blocks + i;
      f(block);
    }
    unroll<2 * Pairs>([&](int s) FATHOM_INLINE { strips.at[s] += kUnit; });
  }
}

// Few rows: their sums stay in registers, and a code is used as soon as it is unpacked.
template <class Format, int N>
void product_few(const Strips<1>& strips, int64_t cols, const int8_t* x, const BlockSums* sums, __m512* y) noexcept {
  __m512 sum[N];
  unroll<N>([&](int t) FATHOM_INLINE { sum[t] = _mm512_setzero_ps(); });
  each_block<Format, 1>(strips, cols, [&](const Block<1>& block) FATHOM_INLINE {
    __m512i parts[8];
    unroll<8>([&](int p) FATHOM_INLINE { parts[p] = unsigned_part<Format::bits>(block.codes[0], block.codes[1], p); });
    const auto part = [&](int p) FATHOM_INLINE { return parts[p]; };
    unroll<N>([&](int t) FATHOM_INLINE {
      const int64_t at = block.number * N + t;
      sum[t] = multiply_block<Format>(part, block.scales[0], x + at * kBlock, sums[at], sum[t]);
    });
  });
  unroll<N>([&](int t) FATHOM_INLINE { y[t] = sum[t]; });
}

// Many: the codes of a block stay in registers while all rows of activations pass. With two pairs of strips a row's
// codes are loaded once for 32 rows of weights (Zen 4, one core, q4_0, 64 rows: 171 and 183 GMAC/s of 237 between
// registers). y: [row of activations][pair].
template <class Format, int Pairs>
void product_many(const Strips<Pairs>& strips, int64_t cols, const int8_t* x, const BlockSums* sums, int64_t n,
                  __m512* y) noexcept {
  for (int64_t t = 0; t < n * Pairs; ++t) y[t] = _mm512_setzero_ps();
  each_block<Format, Pairs>(strips, cols, [&](const Block<Pairs>& block) FATHOM_INLINE {
    __m512i parts[Pairs][8];
    unroll<Pairs>([&](int i) FATHOM_INLINE {
      unroll<8>([&](int p) FATHOM_INLINE {
        parts[i][p] = kept16(unsigned_part<Format::bits>(block.codes[2 * i], block.codes[2 * i + 1], p));
      });
    });
    const int8_t* block_x = x + block.number * n * kBlock;
    const BlockSums* block_sums = sums + block.number * n;
    for (int64_t t = 0; t < n; ++t)
      unroll<Pairs>([&](int i) FATHOM_INLINE {
        const auto part = [&](int p) FATHOM_INLINE { return parts[i][p]; };
        __m512& sum = y[t * Pairs + i];
        sum = multiply_block<Format>(part, block.scales[i], block_x + t * kBlock, block_sums[t], sum);
      });
  });
}

// Parts p and p + 1 of one strip, p even: eight rows of one below eight rows of the other.
template <int Bits>
FATHOM_INLINE inline __m512i two_parts(const std::byte* codes, int p) noexcept {
  if constexpr (Bits == 8) return _mm512_xor_si512(_mm512_loadu_si512(codes + 32 * p), _mm512_set1_epi8(-128));
  const __m512i pair = _mm512_loadu_si512(codes + 32 * (p % 4));
  const __m512i low = low_halves16(p < 4 ? pair : _mm512_srli_epi16(pair, 4));
  if constexpr (Bits == 4) return low;
  constexpr int kPlaces = Bits == 5 ? 1 : 2;
  const __m512i upper = _mm512_broadcast_i64x4(load32(codes + 128 + (Bits == 6 ? 32 * (p / 4) : 0)));
  const int from = Bits == 5 ? p : p % 4 * 2;  // to bit 4; of part p + 1 from + kPlaces
  const auto by = [](int first, int second) {
    return beside(_mm256_set1_epi16(static_cast<short>(first)), _mm256_set1_epi16(static_cast<short>(second)));
  };
  const __m512i moved = from < 4 ? _mm512_sllv_epi16(upper, by(4 - from, 4 - from - kPlaces))
                                 : _mm512_srlv_epi16(upper, by(from - 4, from - 4 + kPlaces));
  return _mm512_ternarylogic_epi32(low, moved, _mm512_set1_epi8(kPlaces == 1 ? 16 : 48), 0xF8);  // low | (moved & mask)
}

// Sums of integers of eight rows, from those of the two halves of a register.
FATHOM_INLINE inline __m256 both_halves(__m512i sum) noexcept {
  return _mm256_cvtepi32_ps(_mm256_add_epi32(_mm512_castsi512_si256(sum), _mm512_extracti64x4_epi64(sum, 1)));
}

// One or two rows, one strip after the other and nothing fetched ahead: the one stream that a thread then reads is what
// memory gives fastest (Zen 4, two cores, q4_0: 33.4 GB/s with one row and 34.0 with two, where pairs of strips with
// the next ones fetched give 31.1 and 31.5; one core 26.1 and 20.4). Three rows and more make products while they wait.
template <class Format, int N>
void product_alone(const std::byte* strip, int64_t cols, const int8_t* x, const BlockSums* sums, float* y,
                   int64_t y_stride) noexcept {
  constexpr int kCodes = 32 * Format::bits, kUnit = Format::header + Format::blocks * kCodes;
  const auto lanes_of = [](int p) FATHOM_INLINE { return beside(_mm256_set1_epi32(p), _mm256_set1_epi32(p + 1)); };
  __m256 sum[N];
  unroll<N>([&](int t) FATHOM_INLINE { sum[t] = _mm256_setzero_ps(); });
  for (int64_t u = 0; u < cols / (kBlock * Format::blocks); ++u, strip += kUnit) {
    const typename Format::Unit unit = Format::unit(strip);
    for (int i = 0; i < Format::blocks; ++i) {
      const std::byte* codes = strip + Format::header + i * kCodes;
      const packed::Scales w = Format::scales(unit, i);
      __m512i parts[4];
      unroll<4>([&](int p) FATHOM_INLINE { parts[p] = two_parts<Format::bits>(codes, 2 * p); });
      unroll<N>([&](int t) FATHOM_INLINE {
        const int64_t at = (u * Format::blocks + i) * N + t;
        const __m512i row =
            _mm512_castsi256_si512(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(x + at * kBlock)));
        const BlockSums& s = sums[at];
        const auto multiply = [&](int first, int count, int offset) FATHOM_INLINE {
          __m512i products = _mm512_maskz_mov_epi32(0x00FF, from_zero<Format>(offset));
          for (int p = first; p < first + count; ++p)
            products = _mm512_dpbusd_epi32(products, parts[p], _mm512_permutexvar_epi32(lanes_of(2 * p), row));
          return both_halves(products);
        };
        const __m256 low = multiply(0, Format::two ? 2 : 4, Format::two ? s.offset_first : s.offset);
        __m256 high = low;
        if constexpr (Format::two) high = multiply(2, 2, s.offset - s.offset_first);
        sum[t] = packed::add_scaled<Format>(low, high, w, s, sum[t]);
      });
    }
  }
  unroll<N>([&](int t) FATHOM_INLINE { _mm256_storeu_ps(y + t * y_stride, sum[t]); });
}

template <class Format, int... I>
void product_of(const Strips<1>& strips, int64_t cols, const int8_t* x, const BlockSums* sums, int64_t n, __m512* y,
                std::integer_sequence<int, I...>) noexcept {
  if (!((n == I + 1 && (product_few<Format, I + 1>(strips, cols, x, sums, y), true)) || ...))
    product_many<Format, 1>(strips, cols, x, sums, n, y);
}

// multiply(two strips, or the last one twice, y): 16 rows, or 8 twice.
template <class Format, class Multiply>
FATHOM_INLINE inline void each_pair(const std::byte* strip, int64_t n_strips, int64_t cols, int64_t n, float* y,
                                    int64_t y_stride, Multiply multiply) noexcept {
  const int64_t bytes = strip_bytes<Format>(cols);
  __m512 rows[kMostRows];
  for (int64_t p = 0; p < n_strips; p += 2, strip += 2 * bytes, y += 16) {
    const bool two = p + 1 < n_strips;  // else half of it is thrown away
    multiply(Strips<1>{{strip, two ? strip + bytes : strip}}, rows);
    const __mmask16 lanes = two ? 0xFFFF : 0x00FF;
    for (int64_t t = 0; t < n; ++t) _mm512_mask_storeu_ps(y + t * y_stride, lanes, rows[t]);
  }
}

// The first strips with many rows of activations, four at a time; returns how many these are.
template <class Format>
int64_t product_fours(const std::byte* strip, int64_t n_strips, int64_t cols, const int8_t* x, const BlockSums* sums,
                      int64_t n, float* y, int64_t y_stride) noexcept {
  const int64_t bytes = strip_bytes<Format>(cols);
  __m512 rows[2 * kMostRows];
  int64_t p = 0;
  for (; p + 4 <= n_strips; p += 4, strip += 4 * bytes, y += 32) {
    product_many<Format, 2>({{strip, strip + bytes, strip + 2 * bytes, strip + 3 * bytes}}, cols, x, sums, n, rows);
    for (int64_t t = 0; t < n; ++t) {
      _mm512_storeu_ps(y + t * y_stride, rows[2 * t]);
      _mm512_storeu_ps(y + t * y_stride + 16, rows[2 * t + 1]);
    }
  }
  return p;
}

// With Alone rows of activations and fewer, strips pass one by one.
template <class Format, int Alone = 2>
void product(const std::byte* strip, int64_t n_strips, int64_t cols, const int8_t* x, const BlockSums* sums, int64_t n,
             float* y, int64_t y_stride) noexcept {
  constexpr int kFew = 8;
  if (n <= Alone) {
    for (int64_t p = 0; p < n_strips; ++p, strip += strip_bytes<Format>(cols), y += 8)
      if (n == 1)
        product_alone<Format, 1>(strip, cols, x, sums, y, y_stride);
      else
        product_alone<Format, 2>(strip, cols, x, sums, y, y_stride);
    return;
  }
  const int64_t done = n > kFew ? product_fours<Format>(strip, n_strips, cols, x, sums, n, y, y_stride) : 0;
  each_pair<Format>(strip + done * strip_bytes<Format>(cols), n_strips - done, cols, n, y + done * 8, y_stride,
                    [&](const Strips<1>& strips, __m512* rows) FATHOM_INLINE {
                      product_of<Format>(strips, cols, x, sums, n, rows, std::make_integer_sequence<int, kFew>{});
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
