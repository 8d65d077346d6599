// Products with packed weights (kernels/packed_weight.h) by multiply-add of bytes, for AVX2 and wider. The operations
// on floats, and so the bits, are those of ref/packed_matmul.h; sums of integers are exact in any order. Sizes are
// repeated from packed_weight.h, which may not be included here.

namespace packed {

constexpr int64_t kBlock = 32, kMostRows = 64;

// On a lambda that unroll() calls many times, or a function that it calls: as a call it would pass registers through
// memory.
#define FATHOM_INLINE __attribute__((always_inline))

__m256 halves(const std::byte* p) noexcept { return _mm256_cvtph_ps(load16(p)); }
__m256i bytes_to_int(const std::byte* p) noexcept {
  return _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}
__m256 bytes_to_float(const std::byte* p) noexcept {
  return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
}
__m256i four_codes(const int8_t* x) noexcept {
  int v;
  __builtin_memcpy(&v, x, sizeof v);
  return _mm256_set1_epi32(v);
}
// A kilobyte ahead is where one core reads memory fastest on a Zen 3; with four it is slower than without.
constexpr int64_t kPrefetchUnits = 1024;
template <int Bytes, int Locality = 3>  // 3: into the first cache, 2: into the second
FATHOM_INLINE inline void prefetch_lines(const std::byte* p) noexcept {
  for (int i = 0; i < Bytes; i += 64) __builtin_prefetch(p + i, 0, Locality);
}
// In memory operands the compiler would load once for every use.
__m256i kept(__m256i v) noexcept {
  asm("" : "+x"(v));
  return v;
}

// ---- a block of a format: its codes as bytes, part by part, and its scales

struct Scales {
  __m256 scale, other, min;  // other: of the second half (q6_k); min: only where Format::min
};

template <int Bits>
FATHOM_INLINE inline __m256i codes_part(const std::byte* c, int p) noexcept {
  if constexpr (Bits == 8) return load32(c + 32 * p);
  const __m256i pair = load32(c + 32 * (p % 4));
  const __m256i low = p < 4 ? low_halves(pair) : high_halves(pair);
  if constexpr (Bits == 4) return low;
  constexpr int kPlaces = Bits == 5 ? 1 : 2;  // bits of a code in a byte of the upper plane
  const __m256i upper = load32(c + 128 + (Bits == 6 ? 32 * (p / 4) : 0));
  const int from = Bits == 5 ? p : p % 4 * 2;  // to bit 4
  const __m256i moved = from <= 4 ? _mm256_slli_epi16(upper, 4 - from) : _mm256_srli_epi16(upper, from - 4);
  return _mm256_or_si256(low, _mm256_and_si256(moved, _mm256_set1_epi8(kPlaces == 1 ? 16 : 48)));
}

template <int Bits, int Zero>
struct OnlyScale {
  static constexpr int bits = Bits, blocks = 1, header = 16, zero = Zero;
  static constexpr bool min = false, two = false;
  using Unit = const std::byte*;
  static Unit unit(const std::byte* h) noexcept { return h; }
  static Scales scales(Unit h, int) noexcept {
    const __m256 d = halves(h);
    return {d, d, d};
  }
};
using Q4_0 = OnlyScale<4, 8>;
using Q5_0 = OnlyScale<5, 16>;
using Q8_0 = OnlyScale<8, 0>;
template <int Bits>
struct WithMin {
  static constexpr int bits = Bits, blocks = 1, header = 32, zero = 0;
  static constexpr bool min = true, two = false;
  using Unit = const std::byte*;
  static Unit unit(const std::byte* h) noexcept { return h; }
  static Scales scales(Unit h, int) noexcept {
    const __m256 d = halves(h);
    return {d, d, halves(h + 16)};
  }
};
// The twelve bytes of scales and mins of eight rows, unpacked once for a unit: byte 8 g + row for block g.
template <int Bits>
struct SuperBlock {
  static constexpr int bits = Bits, blocks = 8, header = 128, zero = 0;
  static constexpr bool min = true, two = false;
  struct Unit {
    __m256 d, minus_dmin;
    alignas(32) std::byte scale[64], min[64];
  };
  static Unit unit(const std::byte* h) noexcept {
    Unit u = {halves(h), _mm256_xor_ps(halves(h + 16), _mm256_set1_ps(-0.0f)), {}, {}};
    const __m256i s = load32(h + 32), m = load32(h + 64), low = load32(h + 96), six = _mm256_set1_epi8(63);
    const auto put = [](std::byte* at, __m256i v) noexcept { _mm256_store_si256(reinterpret_cast<__m256i*>(at), v); };
    const auto upper = [](__m256i v) noexcept {
      return _mm256_and_si256(_mm256_srli_epi16(v, 2), _mm256_set1_epi8(48));
    };
    put(u.scale, _mm256_and_si256(s, six));
    put(u.min, _mm256_and_si256(m, six));
    put(u.scale + 32, _mm256_or_si256(low_halves(low), upper(s)));
    put(u.min + 32, _mm256_or_si256(high_halves(low), upper(m)));
    return u;
  }
  static Scales scales(const Unit& u, int block) noexcept {
    const __m256 scale = _mm256_mul_ps(u.d, _mm256_cvtepi32_ps(bytes_to_int(u.scale + 8 * block)));
    const __m256 min_value = _mm256_mul_ps(u.minus_dmin, _mm256_cvtepi32_ps(bytes_to_int(u.min + 8 * block)));
    return {scale, scale, min_value};
  }
};
struct Q6K {
  static constexpr int bits = 6, blocks = 8, header = 144, zero = 32;
  static constexpr bool min = false, two = true;
  struct Unit {
    __m256 d;
    const std::byte* scales;
  };
  static Unit unit(const std::byte* h) noexcept { return {halves(h), h + 16}; }
  static Scales scales(const Unit& u, int block) noexcept {
    const std::byte* s = u.scales + 16 * block;
    const __m256 low = _mm256_mul_ps(u.d, bytes_to_float(s));
    return {low, _mm256_mul_ps(u.d, bytes_to_float(s + 8)), low};
  }
};

// ---- integer products of a block: eight rows with one row of activations

// 16-bit sums of pairs hold as many parts as cannot overflow: a part adds at most 2 * 127 * (2^bits - 1).
template <int Bits>
constexpr int kPartsInWords = Bits == 4   ? 8
                              : Bits == 5 ? 4
                              : Bits == 6 ? 2
                                          : 1;
static_assert(8 * 2 * 127 * 15 <= 32767 && 4 * 2 * 127 * 31 <= 32767 && 2 * 2 * 127 * 63 <= 32767);
static_assert(2 * 127 * 128 <= 32767);  // 8 bits, by magnitude

template <int Bits>
FATHOM_INLINE inline __m256i multiply_part(__m256i w, __m256i x) noexcept {
  if constexpr (Bits == 8) return _mm256_maddubs_epi16(_mm256_abs_epi8(w), _mm256_sign_epi8(x, w));
  return _mm256_maddubs_epi16(w, x);
}

// Of parts First .. First + Count - 1 and N rows of activations (kBlock bytes apart), as 32-bit sums of rows.
template <int Bits, int First, int Count, int N, class Part>
FATHOM_INLINE inline void multiply_parts(Part part, const int8_t* x, __m256i (&sum)[N]) noexcept {
  constexpr int kStep = kPartsInWords<Bits> < Count ? kPartsInWords<Bits> : Count;
  const __m256i ones = _mm256_set1_epi16(1);
  unroll<Count / kStep>([&](int s) FATHOM_INLINE {
    __m256i words[N][2];  // two chains: with one, every addition waits for the one before
    unroll<kStep>([&](int i) FATHOM_INLINE {
      const int p = First + s * kStep + i;
      const __m256i codes = part(p);
      unroll<N>([&](int t) FATHOM_INLINE {
        const __m256i product = multiply_part<Bits>(codes, four_codes(x + t * kBlock + 4 * p));
        words[t][i % 2] = i < 2 ? product : _mm256_add_epi16(words[t][i % 2], product);
      });
    });
    unroll<N>([&](int t) FATHOM_INLINE {
      const __m256i all = kStep == 1 ? words[t][0] : _mm256_add_epi16(words[t][0], words[t][1]);
      const __m256i wide = _mm256_madd_epi16(all, ones);
      sum[t] = s == 0 ? wide : _mm256_add_epi32(sum[t], wide);
    });
  });
}

// A sum of products as if codes were counted from Format::zero: whole numbers below 2^24, exact. offset: of BlockSums.
template <class Format>
FATHOM_INLINE inline __m256 from_zero(__m256i products, int offset) noexcept {
  if constexpr (Format::zero == 0) return _mm256_cvtepi32_ps(products);
  return _mm256_cvtepi32_ps(_mm256_add_epi32(products, _mm256_set1_epi32(Format::zero / 8 * offset)));
}

// sum + a block's product with a row of activations: the operations of ref/packed_matmul.h on its sums of integers,
// counted from Format::zero (high: of the second half, where a format has scales for each).
template <class Format>
FATHOM_INLINE inline __m256 add_scaled(__m256 low, __m256 high, const Scales& w, const BlockSums& s,
                                       __m256 sum) noexcept {
  __m256 value = _mm256_mul_ps(w.scale, low);
  if constexpr (Format::two) value = _mm256_fmadd_ps(w.other, high, value);
  if constexpr (Format::min) value = _mm256_fmadd_ps(w.min, _mm256_broadcast_ss(&s.total), value);
  return _mm256_fmadd_ps(value, _mm256_broadcast_ss(&s.scale), sum);
}

// sum[t] += the products of a block with row t of the activations.
template <class Format, int N, class Part>
FATHOM_INLINE inline void multiply_block(Part part, const Scales& w, const int8_t* x, const BlockSums* sums,
                                         __m256 (&sum)[N]) noexcept {
  __m256i low[N], high[N];
  if constexpr (Format::two) {
    multiply_parts<Format::bits, 0, 4, N>(part, x, low);
    multiply_parts<Format::bits, 4, 4, N>(part, x, high);
  } else {
    multiply_parts<Format::bits, 0, 8, N>(part, x, low);
  }
  unroll<N>([&](int t) FATHOM_INLINE {
    const BlockSums& s = sums[t];
    const __m256 first = from_zero<Format>(low[t], Format::two ? s.offset_first : s.offset);
    __m256 second = first;
    if constexpr (Format::two) second = from_zero<Format>(high[t], s.offset - s.offset_first);
    sum[t] = add_scaled<Format>(first, second, w, s, sum[t]);
  });
}

// f(codes of the block, its scales, number of the block in the row)
template <class Format, class F>
FATHOM_INLINE inline void each_block(const std::byte* strip, int64_t cols, F f) noexcept {
  constexpr int kCodes = 32 * Format::bits, kUnit = Format::header + Format::blocks * kCodes;
  const int64_t units = cols / (kBlock * Format::blocks);
  for (int64_t u = 0; u < units; ++u, strip += kUnit) {
    const typename Format::Unit unit = Format::unit(strip);
    for (int b = 0; b < Format::blocks; ++b)
      f(strip + Format::header + b * kCodes, Format::scales(unit, b), u * Format::blocks + b);
  }
}

// Few rows: their sums stay in registers, and a code is used as soon as it is unpacked.
template <class Format, int N>
void product_few(const std::byte* strip, int64_t cols, const int8_t* x, const BlockSums* sums, float* y,
                 int64_t y_stride) noexcept {
  __m256 sum[N];
  unroll<N>([&](int t) FATHOM_INLINE { sum[t] = _mm256_setzero_ps(); });
  each_block<Format>(strip, cols, [&](const std::byte* codes, const Scales& w, int64_t block) FATHOM_INLINE {
    prefetch_lines<32 * Format::bits + Format::header / Format::blocks>(codes + kPrefetchUnits);
    const auto part = [&](int p) FATHOM_INLINE { return codes_part<Format::bits>(codes, p); };
    multiply_block<Format, N>(part, w, x + block * N * kBlock, sums + block * N, sum);
  });
  unroll<N>([&](int t) FATHOM_INLINE { _mm256_storeu_ps(y + t * y_stride, sum[t]); });
}

// Many: the codes of a block stay in registers while all rows of activations pass. The sums lie side by side: in y,
// some kilobytes apart, they would fall on the same few lines of the first cache.
template <class Format>
void product_many(const std::byte* strip, int64_t cols, const int8_t* x, const BlockSums* sums, int64_t n, float* y,
                  int64_t y_stride) noexcept {
  alignas(64) float rows[kMostRows * 8];
  for (int64_t t = 0; t < n; ++t) _mm256_store_ps(rows + t * 8, _mm256_setzero_ps());
  each_block<Format>(strip, cols, [&](const std::byte* codes, const Scales& w, int64_t block) FATHOM_INLINE {
    prefetch_lines<32 * Format::bits + Format::header / Format::blocks>(codes + kPrefetchUnits);
    __m256i parts[8];
    unroll<8>([&](int p) FATHOM_INLINE { parts[p] = kept(codes_part<Format::bits>(codes, p)); });
    const auto part = [&](int p) FATHOM_INLINE { return parts[p]; };
    const int8_t* block_x = x + block * n * kBlock;
    const BlockSums* block_sums = sums + block * n;
    for (int64_t t = 0; t < n; ++t) {
      __m256 sum[1] = {_mm256_load_ps(rows + t * 8)};
      multiply_block<Format, 1>(part, w, block_x + t * kBlock, block_sums + t, sum);
      _mm256_store_ps(rows + t * 8, sum[0]);
    }
  });
  for (int64_t t = 0; t < n; ++t) _mm256_storeu_ps(y + t * y_stride, _mm256_load_ps(rows + t * 8));
}

template <class Format>
void product_of(const std::byte* strip, int64_t cols, const int8_t* x, const BlockSums* sums, int64_t n, float* y,
                int64_t y_stride) noexcept {
  switch (n) {
    case 1:
      return product_few<Format, 1>(strip, cols, x, sums, y, y_stride);
    case 2:
      return product_few<Format, 2>(strip, cols, x, sums, y, y_stride);
    case 3:
      return product_few<Format, 3>(strip, cols, x, sums, y, y_stride);
    default:
      return product_many<Format>(strip, cols, x, sums, n, y, y_stride);
  }
}

template <class Format>
constexpr int64_t strip_bytes(int64_t cols) noexcept {
  return cols / (kBlock * Format::blocks) * (Format::header + Format::blocks * 32 * Format::bits);
}

template <class Format>
void product(const std::byte* strip, int64_t n_strips, int64_t cols, const int8_t* x, const BlockSums* sums, int64_t n,
             float* y, int64_t y_stride) noexcept {
  for (int64_t p = 0; p < n_strips; ++p, strip += strip_bytes<Format>(cols), y += 8)
    product_of<Format>(strip, cols, x, sums, n, y, y_stride);
}

// ---- activations

// The sums of a block's codes.
void sum_codes(__m256i codes, BlockSums& out) noexcept {
  const __m256i words = _mm256_maddubs_epi16(_mm256_set1_epi8(1), codes);
  __m256i sums = _mm256_madd_epi16(words, _mm256_set1_epi16(1));
  sums = _mm256_add_epi32(sums, _mm256_shuffle_epi32(sums, 0x4E));
  sums = _mm256_add_epi32(sums, _mm256_shuffle_epi32(sums, 0xB1));
  const int low = _mm256_extract_epi32(sums, 0), high = _mm256_extract_epi32(sums, 4);
  out.total = static_cast<float>(low + high);
  out.offset = -8 * (low + high);
  out.offset_first = -8 * low;
}

void quantise_block(const float* x, int8_t* codes, BlockSums& sums) noexcept {
  __m256 v[4];
  const __m256i magnitude = _mm256_set1_epi32(0x7FFFFFFF);
  __m256i bits = _mm256_setzero_si256();  // as integers the largest magnitude is the largest number, NaN above all
  unroll<4>([&](int i) {
    v[i] = _mm256_loadu_ps(x + 8 * i);
    bits = _mm256_max_epi32(bits, _mm256_and_si256(_mm256_castps_si256(v[i]), magnitude));
  });
  __m128i m = _mm_max_epi32(_mm256_castsi256_si128(bits), _mm256_extracti128_si256(bits, 1));
  m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0x4E));
  m = _mm_max_epi32(m, _mm_shuffle_epi32(m, 0xB1));
  const float largest = _mm_cvtss_f32(_mm_castsi128_ps(m));
  const bool finite = _mm_cvtsi128_si32(m) < 0x7F800000, some = finite && largest >= 0x1p-100f;
  const __m256 inverse = _mm256_set1_ps(some ? 127.0f / largest : 0.0f);
  __m256i rounded[4];
  unroll<4>([&](int i) { rounded[i] = _mm256_cvtps_epi32(_mm256_mul_ps(v[i], inverse)); });
  const __m256i low = _mm256_packs_epi32(rounded[0], rounded[1]), high = _mm256_packs_epi32(rounded[2], rounded[3]);
  __m256i packed = _mm256_packs_epi16(low, high);
  packed = _mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
  if (!some) packed = _mm256_setzero_si256();
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(codes), packed);
  sum_codes(packed, sums);
  sums.scale = !finite ? __builtin_nanf("") : some ? largest / 127.0f : 0.0f;
}

void quantise_row(const float* x, int64_t n, int8_t* codes, int64_t code_stride, BlockSums* sums,
                  int64_t sum_stride) noexcept {
  for (int64_t b = 0; b < n / kBlock; ++b)
    quantise_block(x + b * kBlock, codes + b * code_stride, sums[b * sum_stride]);
}

// Three chains of: four products of bytes, their 16-bit sums added, then widened and added.
double peak(int64_t rounds) noexcept {
  const __m256i ones = _mm256_set1_epi16(1), x = _mm256_set1_epi8(2), codes = _mm256_set1_epi8(3);
  __m256i sum[3] = {ones, x, codes};
  for (int64_t i = 0; i < rounds; ++i)
    unroll<3>([&](int c) FATHOM_INLINE {
      __m256i words = _mm256_maddubs_epi16(kept(codes), x);
      unroll<3>([&](int) FATHOM_INLINE { words = _mm256_add_epi16(words, _mm256_maddubs_epi16(kept(codes), x)); });
      sum[c] = _mm256_add_epi32(sum[c], _mm256_madd_epi16(words, ones));
    });
  volatile int used = _mm256_extract_epi32(_mm256_add_epi32(sum[0], _mm256_add_epi32(sum[1], sum[2])), 0);
  static_cast<void>(used);  // or there is no loop
  return 2.0 * 32 * 4 * 3 * static_cast<double>(rounds);
}

#undef FATHOM_INLINE

}  // namespace packed
