// Products of many rows of activations with packed weights (kernels/packed_weight.h) by AMX tiles: sixteen rows of
// activations times sixteen rows of weights, a block of columns at a time, for every block has its scales. Sums of
// integers are exact, so the bits are those of every table. Few rows: packed_avx512_vnni.inl.

namespace packed_amx {

using packed::kBlock;
using packed::kMostRows;
using packed16::Scales;

#define FATHOM_INLINE __attribute__((always_inline))

constexpr int64_t kTile = 16;
constexpr int64_t kFewRows = 15;  // up to here tiles do not pay

// Tiles 0 and 1 hold sums, 4 and 5 rows of activations: sixteen, and what is left of them; 6 and 7 weights. bytes: of
// the columns in one tile product.
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
  load(c);
}

// Where codes count from a zero they are unpacked as signed bytes, and the sums need no correction.
template <class Format>
constexpr bool kSigned = Format::bits == 8 || Format::zero != 0;

// out (rows, 16) = the integer products of one tile of activations at x, rows kBlock bytes apart, with weights 6 or 7.
// A macro, for the numbers of tiles are part of the instructions' names.
#define FATHOM_MULTIPLY_TILE(sum_tile, x_tile, w_tile, x, out) \
  {                                                            \
    _tile_zero(sum_tile);                                      \
    _tile_loadd(x_tile, x, kBlock);                            \
    if constexpr (kSigned<Format>)                             \
      _tile_dpbssd(sum_tile, x_tile, w_tile);                  \
    else                                                       \
      _tile_dpbsud(sum_tile, x_tile, w_tile);                  \
    _tile_stored(sum_tile, out, 64);                           \
  }

// Some blocks of two strips, unpacked for all tiles of activations.
constexpr int64_t kMostBlocks = 16;  // eleven kilobytes, which the first cache keeps
struct Unpacked {
  __m512i codes[kMostBlocks][8];
  Scales scales[kMostBlocks];
};

// Sums of integers of one tile of rows: of all columns of a block, or of its halves.
template <class Format>
struct TileSums {
  alignas(64) int32_t low[kTile * kTile], high[Format::two ? kTile * kTile : 16];
};

template <class Format, bool Whole>
FATHOM_INLINE inline void multiply_tile(const __m512i* codes, const int8_t* x, TileSums<Format>& out) noexcept {
  _tile_loadd(6, codes, 64);
  if constexpr (Whole)
    FATHOM_MULTIPLY_TILE(0, 4, 6, x, out.low)
  else
    FATHOM_MULTIPLY_TILE(1, 5, 6, x, out.low)
  if constexpr (Format::two) {
    _tile_loadd(7, codes + 4, 64);
    if constexpr (Whole)
      FATHOM_MULTIPLY_TILE(0, 4, 7, x + 16, out.high)
    else
      FATHOM_MULTIPLY_TILE(1, 5, 7, x + 16, out.high)
  }
  written(&out);
}
#undef FATHOM_MULTIPLY_TILE

template <class Format>
FATHOM_INLINE inline __m512 add_row(const TileSums<Format>& i, int64_t t, const Scales& w, const BlockSums& s,
                                    __m512 sum) noexcept {
  const __m512 low = _mm512_cvtepi32_ps(_mm512_load_si512(i.low + t * kTile));
  const __m512 high = Format::two ? _mm512_cvtepi32_ps(_mm512_load_si512(i.high + t * kTile)) : low;
  return packed16::add_scaled<Format>(low, high, w, s, sum);
}

// Sixteen rows: y stays in registers. The products of a block are made while those of the one before are scaled.
template <class Format>
void add_whole_tile(const Unpacked& w, int64_t blocks, int64_t n, const int8_t* x, const BlockSums* sums,
                    __m512* y) noexcept {
  TileSums<Format> products[2];
  __m512 sum[kTile];
  unroll<kTile>([&](int t) FATHOM_INLINE { sum[t] = y[t]; });
  for (int64_t b = 0; b <= blocks; ++b) {
    if (b < blocks) multiply_tile<Format, true>(w.codes[b], x + b * n * kBlock, products[b % 2]);
    if (b == 0) continue;
    const TileSums<Format>& before = products[(b - 1) % 2];
    const BlockSums* s = sums + (b - 1) * n;
    unroll<kTile>([&](int t) FATHOM_INLINE { sum[t] = add_row(before, t, w.scales[b - 1], s[t], sum[t]); });
  }
  unroll<kTile>([&](int t) FATHOM_INLINE { y[t] = sum[t]; });
}

// Fewer.
template <class Format>
void add_part_tile(const Unpacked& w, int64_t blocks, int64_t n, const int8_t* x, const BlockSums* sums, int64_t rows,
                   __m512* y) noexcept {
  TileSums<Format> products;
  for (int64_t b = 0; b < blocks; ++b) {
    multiply_tile<Format, false>(w.codes[b], x + b * n * kBlock, products);
    for (int64_t t = 0; t < rows; ++t) y[t] = add_row(products, t, w.scales[b], sums[b * n + t], y[t]);
  }
}

// y += the products with `blocks` unpacked blocks; x and sums at the first of them.
template <class Format>
void add_tiles(const Unpacked& w, int64_t blocks, int64_t n, const int8_t* x, const BlockSums* sums,
               __m512* y) noexcept {
  written(&w);
  int64_t t = 0;
  for (; t + kTile <= n; t += kTile) add_whole_tile<Format>(w, blocks, n, x + t * kBlock, sums + t, y + t);
  if (t < n) add_part_tile<Format>(w, blocks, n, x + t * kBlock, sums + t, n - t, y + t);
}

template <class Format>
void product_tiles(const packed16::Strips<1>& strips, int64_t cols, const int8_t* x, const BlockSums* sums, int64_t n,
                   __m512* y) noexcept {
  Unpacked w;
  for (int64_t t = 0; t < n; ++t) y[t] = _mm512_setzero_ps();
  const int64_t blocks = cols / kBlock;
  packed16::each_block<Format, 1>(strips, cols, [&](const packed16::Block<1>& block) FATHOM_INLINE {
    const int64_t at = block.number % kMostBlocks;
    unroll<8>([&](int p) FATHOM_INLINE {
      const __m512i codes = packed16::codes_part<Format::bits>(block.codes[0], block.codes[1], p);
      w.codes[at][p] = Format::zero == 0 ? codes : _mm512_sub_epi8(codes, _mm512_set1_epi8(Format::zero));
    });
    w.scales[at] = block.scales[0];
    if (at + 1 < kMostBlocks && block.number + 1 < blocks) return;
    const int64_t first = block.number - at;
    add_tiles<Format>(w, at + 1, n, x + first * n * kBlock, sums + first * n, y);
  });
}

template <class Format>
void product(const std::byte* strip, int64_t n_strips, int64_t cols, const int8_t* x, const BlockSums* sums, int64_t n,
             float* y, int64_t y_stride) noexcept {
  // Strips one by one: not measured on a CPU with AMX.
  if (n <= kFewRows) return packed16::product<Format, 0>(strip, n_strips, cols, x, sums, n, y, y_stride);
  const int64_t rest = n % kTile;
  configure(Format::two ? 16 : 32, rest == 0 ? kTile : rest);
  packed16::each_pair<Format>(strip, n_strips, cols, n, y, y_stride,
                              [&](const packed16::Strips<1>& strips, __m512* rows)
                                  FATHOM_INLINE { product_tiles<Format>(strips, cols, x, sums, n, rows); });
  _tile_release();
}

// Tile products of four chains, as if no block had its scales.
double peak(int64_t rounds) noexcept {
  load(TileConfig{});
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

}  // namespace packed_amx
