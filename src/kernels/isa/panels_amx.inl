// Products of many rows of activations with panels (kernels/panels.h) by AMX tiles: sixteen rows of activations times
// sixteen rows of weights, a block of columns at a time, for every block has its scales. Sums of integers are exact, so
// the bits are those of every table. Few rows: panels_avx512_vnni.inl.

namespace panels_amx {

using panels::kBlock;
using panels::kMostRows;
using panels::kSums;
using panels16::Scales;

#define FATHOM_INLINE __attribute__((always_inline))

constexpr int64_t kTile = 16;
constexpr int64_t kFewRows = 12;  // up to here tiles do not pay

// Tiles 0 and 1 hold sums, 4 and 5 rows of activations: sixteen, and what is left of them. 6 and 7: weights.
struct alignas(64) TileConfig {  // Intel SDM, LDTILECFG
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {};
  uint8_t rows[16] = {};
};

// bytes of columns in one tile product
void configure(int bytes, int64_t rest) noexcept {
  TileConfig c;
  for (int t = 0; t < 2; ++t) {
    c.row_bytes[t] = 64;
    c.rows[t] = static_cast<uint8_t>(t == 0 ? kTile : rest);
    c.row_bytes[4 + t] = static_cast<uint16_t>(bytes);
    c.rows[4 + t] = c.rows[t];
  }
  for (int t = 6; t < 8; ++t) {
    c.row_bytes[t] = 64;
    c.rows[t] = static_cast<uint8_t>(bytes / 4);
  }
  _tile_loadconfig(&c);
}

// gcc 12 does not know that tile loads read memory.
void written() noexcept { asm volatile("" ::: "memory"); }

// out (rows, 16) = the integer products of one tile of activations at x, rows kBlock bytes apart, with weights 6 or 7.
// A macro, for the numbers of tiles are part of the instructions' names.
#define FATHOM_MULTIPLY_TILE(sum_tile, x_tile, w_tile)  \
  {                                                     \
    _tile_zero(sum_tile);                               \
    _tile_loadd(x_tile, x, kBlock);                     \
    if constexpr (Format::bits == 8)                    \
      _tile_dpbssd(sum_tile, x_tile, w_tile);           \
    else                                                \
      _tile_dpbsud(sum_tile, x_tile, w_tile);           \
    _tile_stored(sum_tile, out, 64);                    \
  }
template <class Format, bool Second>
FATHOM_INLINE inline void multiply_tiles(const int8_t* x, int64_t n, int32_t* out) noexcept {
  for (; n >= kTile; n -= kTile, x += kTile * kBlock, out += kTile * kTile) {
    if constexpr (Second) FATHOM_MULTIPLY_TILE(0, 4, 7) else FATHOM_MULTIPLY_TILE(0, 4, 6)
  }
  if (n > 0) {
    if constexpr (Second) FATHOM_MULTIPLY_TILE(1, 5, 7) else FATHOM_MULTIPLY_TILE(1, 5, 6)
  }
}
#undef FATHOM_MULTIPLY_TILE

template <class Format>
FATHOM_INLINE inline void add_tile(const int32_t* low, const int32_t* high, const Scales& w, const float* s, int64_t n,
                                   __m512* y) noexcept {
  for (int64_t t = 0; t < n; ++t) {
    const __m512 l = _mm512_cvtepi32_ps(_mm512_load_si512(low + t * kTile));
    const __m512 h = Format::two ? _mm512_cvtepi32_ps(_mm512_load_si512(high + t * kTile)) : l;
    y[t] = panels16::add_scaled<Format>(l, h, w, s + t * kSums, y[t]);
  }
}

template <class Format>
void product_tiles(const std::byte* a, const std::byte* b, int64_t cols, const int8_t* x, const float* sums, int64_t n,
                   __m512* y) noexcept {
  alignas(64) __m512i codes[8];
  alignas(64) int32_t low[kMostRows * kTile], high[Format::two ? kMostRows * kTile : 1];
  for (int64_t t = 0; t < n; ++t) y[t] = _mm512_setzero_ps();
  panels16::each_block<Format>(
      a, b, cols,
      [&](const std::byte* codes_a, const std::byte* codes_b, const Scales& w, int64_t block) FATHOM_INLINE {
        unroll<8>([&](int p) FATHOM_INLINE { codes[p] = panels16::codes_part<Format::bits>(codes_a, codes_b, p); });
        written();
        _tile_loadd(6, codes, 64);
        if constexpr (Format::two) _tile_loadd(7, codes + 4, 64);
        const int8_t* block_x = x + block * n * kBlock;
        const float* block_sums = sums + block * n * kSums;
        multiply_tiles<Format, false>(block_x, n, low);
        if constexpr (Format::two) multiply_tiles<Format, true>(block_x + 16, n, high);
        written();
        add_tile<Format>(low, high, w, block_sums, n, y);
      });
}

template <class Format>
void product(const std::byte* panel, int64_t n_panels, int64_t cols, const int8_t* x, const float* sums, int64_t n,
             float* y, int64_t y_stride) noexcept {
  if (n <= kFewRows) return panels16::product<Format>(panel, n_panels, cols, x, sums, n, y, y_stride);
  const int64_t rest = n % kTile;
  configure(Format::two ? 16 : 32, rest == 0 ? kTile : rest);
  panels16::each_pair<Format>(panel, n_panels, cols, n, y, y_stride,
                              [&](const std::byte* a, const std::byte* b, __m512* rows) FATHOM_INLINE {
                                product_tiles<Format>(a, b, cols, x, sums, n, rows);
                              });
  _tile_release();
}

// Tile products of four chains, as if no block had its scales.
double peak(int64_t rounds) noexcept {
  TileConfig c;
  for (int t = 0; t < 8; ++t) c.row_bytes[t] = 64, c.rows[t] = 16;
  _tile_loadconfig(&c);
  for (int64_t i = 0; i < rounds; ++i) {
    _tile_dpbsud(0, 4, 6);
    _tile_dpbsud(1, 4, 7);
    _tile_dpbsud(2, 5, 6);
    _tile_dpbsud(3, 5, 7);
  }
  _tile_release();
  return 2.0 * 4 * 16 * 16 * 64 * static_cast<double>(rounds);
}

#undef FATHOM_INLINE

}  // namespace panels_amx
