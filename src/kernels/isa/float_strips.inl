// Products of packed floating-point weights (kernels/packed_weight.h) with activations in float32: one multiply-add a
// weight, on one column of as many rows as a register has lanes. The sums are those of ref/packed_matmul.h, bit for
// bit.

namespace strips {

#define FATHOM_INLINE __attribute__((always_inline))

constexpr int64_t kRows = 8, kBlock = 32, kUnit = 128;  // those of packed_weight.h
constexpr int kStripsWide = static_cast<int>(F32::lanes / kRows);

// Two columns of a register's rows, of strip a and, in wider registers, of b beside it.
struct TwoColumns {
  F32 first, second;
};

struct F32Columns {
  static constexpr int64_t kColumnBytes = 4 * kRows, kHeader = 0;
  FATHOM_INLINE static TwoColumns load(const std::byte* a, const std::byte* b) noexcept {
    return {F32::strip_floats(a, b), F32::strip_floats(a + kColumnBytes, b + kColumnBytes)};
  }
};
struct F16Columns {
  static constexpr int64_t kColumnBytes = 2 * kRows, kHeader = 0;
  FATHOM_INLINE static TwoColumns load(const std::byte* a, const std::byte* b) noexcept {
    return {F32::strip_halves(a, b), F32::strip_halves(a + kColumnBytes, b + kColumnBytes)};
  }
};
struct Bf16Columns {  // in pairs
  static constexpr int64_t kColumnBytes = 2 * kRows, kHeader = 0;
  FATHOM_INLINE static TwoColumns load(const std::byte* a, const std::byte* b) noexcept {
    const F32 pairs = F32::strip_floats(a, b);
    return {pairs.lower_bf16(), pairs.upper_bf16()};
  }
};
struct F8Columns {
  static constexpr int64_t kColumnBytes = kRows, kHeader = 4 * kRows;
  FATHOM_INLINE static TwoColumns load(const std::byte* a, const std::byte* b) noexcept {
    return {F32::strip_f8(a, b), F32::strip_f8(a + kColumnBytes, b + kColumnBytes)};
  }
};

template <class Columns>
constexpr int64_t strip_bytes(int64_t cols) noexcept {
  return cols * Columns::kColumnBytes + (cols + kUnit - 1) / kUnit * Columns::kHeader;
}

// One unit of columns of `Registers` registers of rows, from strips that begin `apart` bytes from each other, with N
// rows of activations: added to y, or, of the first unit, written there. fetched: how far ahead lie strips that are
// wanted next; 0: none are. width: lanes of the last register that y has room for, where it is not Whole.
template <class Columns, int Registers, int N, bool Whole>
void unit_product(const std::byte* strip, int64_t apart, int64_t fetched, int64_t cols, const float* x, int64_t x_block,
                  bool first, float* y, int64_t y_stride, int64_t width) noexcept {
  const auto register_at = [&](const std::byte* at, int g) FATHOM_INLINE { return at + g * kStripsWide * apart; };
  const auto other = [&](const std::byte* at) FATHOM_INLINE { return Whole || width > kRows ? at + apart : at; };
  const std::byte* column = strip + Columns::kHeader;
  F32 part[N][Registers];
  unroll<N>([&](int t) FATHOM_INLINE { unroll<Registers>([&](int g) FATHOM_INLINE { part[t][g] = F32::zero(); }); });
  constexpr int kStep = 4;  // columns
  for (int64_t b = 0; b < cols / kBlock; ++b, x += x_block) {
    if (fetched != 0)  // into the second cache
      for (int s = 0; s < Registers * kStripsWide; ++s)
        for (int64_t i = 0; i < kBlock * Columns::kColumnBytes; i += 64)
          __builtin_prefetch(column + fetched + s * apart + i, 0, 2);
    for (int64_t i = 0; i < kBlock; i += kStep, column += kStep * Columns::kColumnBytes)
      unroll<kStep / 2>([&](int p) FATHOM_INLINE {
        TwoColumns w[Registers];
        unroll<Registers>([&](int g) FATHOM_INLINE {
          const std::byte* at = register_at(column, g) + 2 * p * Columns::kColumnBytes;
          w[g] = Columns::load(at, other(at));
          w[g] = {in_register(w[g].first), in_register(w[g].second)};
        });
        unroll<N>([&](int t) FATHOM_INLINE {
          const float* pair = x + t * kBlock + i + 2 * p;
          F32 value = F32::all(pair[0]);
          if constexpr (Registers > 1) value = in_register(value);
          unroll<Registers>([&](int g) FATHOM_INLINE { part[t][g] = fma(w[g].first, value, part[t][g]); });
          value = F32::all(pair[1]);
          if constexpr (Registers > 1) value = in_register(value);
          unroll<Registers>([&](int g) FATHOM_INLINE { part[t][g] = fma(w[g].second, value, part[t][g]); });
        });
      });
  }
  unroll<Registers>([&](int g) FATHOM_INLINE {
    const std::byte* header = register_at(strip, g);
    F32 scale = F32::all(1.0f);
    if constexpr (Columns::kHeader != 0) scale = F32::strip_floats(header, other(header));
    unroll<N>([&](int t) FATHOM_INLINE {
      float* out = y + t * y_stride + g * F32::lanes;
      F32 sum = part[t][g];
      if (first) {
        if constexpr (Columns::kHeader != 0) sum = scale * sum;
      } else {
        sum = fma(scale, sum, Whole ? F32::load(out) : F32::load(out, width));
      }
      if constexpr (Whole)
        sum.store(out);
      else
        sum.store(out, width);
    });
  });
}

template <class Columns, int Registers, bool Whole, int... I>
FATHOM_INLINE inline void unit_product_of(int64_t n, const std::byte* strip, int64_t apart, int64_t fetched,
                                          int64_t cols, const float* x, int64_t x_block, bool first, float* y,
                                          int64_t y_stride, int64_t width, std::integer_sequence<int, I...>) noexcept {
  static_cast<void>(((n == I + 1 && (unit_product<Columns, Registers, I + 1, Whole>(strip, apart, fetched, cols, x,
                                                                                    x_block, first, y, y_stride, width),
                                     true)) ||
                     ...));
}

// All columns: a unit's weights stay in the first cache while all rows of activations pass, as many at a time as have
// their sums in registers.
template <class Columns, int Registers, int Most, bool Whole = true>
void rows_product(const std::byte* strip, int64_t apart, int64_t fetched, int64_t cols, const float* x, int64_t n,
                  float* y, int64_t y_stride, int64_t width = F32::lanes) noexcept {
  const int64_t parts = (n + Most - 1) / Most;
  for (int64_t begin = 0; begin < cols; begin += kUnit) {
    const int64_t unit = begin / kUnit * (kUnit * Columns::kColumnBytes + Columns::kHeader);
    const int64_t wide = cols - begin < kUnit ? cols - begin : kUnit;
    for (int64_t i = 0; i < parts; ++i) {
      const int64_t from = n * i / parts, to = n * (i + 1) / parts;
      unit_product_of<Columns, Registers, Whole>(
          to - from, strip + unit, apart, i == 0 ? fetched : 0, wide, x + (begin / kBlock * n + from) * kBlock,
          n * kBlock, begin == 0, y + from * y_stride, y_stride, width, std::make_integer_sequence<int, Most>{});
    }
  }
}

// Four strips at a time, or with narrow registers two where there are more than two rows of activations: an fma waits
// four cycles for the one before it. (Eight strips of AVX-512, for one row, gain nothing on Zen 4.)
template <class Columns>
void product(const std::byte* packed, int64_t n_strips, int64_t cols, const float* x, int64_t n, float* y,
             int64_t y_stride) noexcept {
  constexpr bool kWide = F32::registers >= 32;
  const int64_t apart = strip_bytes<Columns>(cols);
  int64_t s = 0;
  const auto groups = [&](auto registers, auto most) FATHOM_INLINE {
    constexpr int kStrips = decltype(registers)::value * kStripsWide;
    for (; s + kStrips <= n_strips; s += kStrips, packed += kStrips * apart, y += kStrips * kRows)
      rows_product<Columns, decltype(registers)::value, decltype(most)::value>(packed, apart, kStrips * apart, cols, x,
                                                                               n, y, y_stride);
  };
  constexpr int kMost = kWide ? 12 : 6;
  if constexpr (!kWide)
    if (n <= 2) groups(std::integral_constant<int, 4>{}, std::integral_constant<int, 2>{});
  groups(std::integral_constant<int, 2>{}, std::integral_constant<int, kMost>{});
  for (; s + kStripsWide <= n_strips; s += kStripsWide, packed += kStripsWide * apart, y += kStripsWide * kRows)
    rows_product<Columns, 1, kMost>(packed, apart, 0, cols, x, n, y, y_stride);
  if constexpr (kStripsWide > 1)
    if (s < n_strips) rows_product<Columns, 1, kMost, false>(packed, apart, 0, cols, x, n, y, y_stride, kRows);
}

#undef FATHOM_INLINE

}  // namespace strips
