// The int16 kernels for AMX: products of tiles of bytes, sixteen rows by sixteen columns and 64 deep. A code is a
// signed high byte and an unsigned low one, a = 2^8 h + l, so that
//     sum a a' = 2^16 sum h h' + 2^8 (sum h l' + sum l h') + sum l l'
// modulo 2^32, which is the whole sum (int16_kernel.h). Codes of a narrow group are their low byte, signed. What may be
// included and defined here: avx512.cpp.
//
//     scores   (cells, lanes)    = keys (cells, numbers) . queries (numbers, lanes), a tile for 64 numbers
//     sums     (lanes, columns)  = weights (lanes, cells) . values (cells, columns), one tile deep
//
// The rows of the left operand are 64 bytes each, the rows of the right one four bytes of each column. Planes of high
// and of low bytes are tiles that follow each other. The order in depth is that of split(), on both sides.
#include <immintrin.h>

#include <utility>

#include "kernels/isa/isa_tables.h"

namespace fathom::amx {
namespace {
#include "kernels/simd/avx512.h"
// The order matters: the register type, then what is written against it.
#include "kernels/isa/body.inl"
#include "kernels/isa/gemm_pack_avx512.inl"
#include "kernels/isa/int16_avx512.inl"
// Then tiles.
#include "kernels/isa/amx_tiles.inl"

#define FATHOM_INLINE __attribute__((always_inline))

constexpr int64_t kTile = 16, kDepth = 64, kTileBytes = kTile * kDepth;
constexpr int64_t kColumns = 32;       // of values that are packed together
constexpr int64_t kFewQueryTiles = 4;  // up to so many: small parts (part_of)
constexpr int64_t kRunGroups = 4;      // whole groups that one list of products takes, at most
constexpr int64_t kFetched = 12;       // lines that are prefetched for each product of tiles, were there one query tile
static_assert(kTileCells == kDepth && kLanes == kTile);

// out (16, 16) = (old ? itself : 0) + (the integer product of rows and columns) * row_scale[row] * lane_scale[column]
struct Product {
  const uint8_t *rows, *columns;
  const float *row_scale, *lane_scale;
  float* out;
  bool old;
};

constexpr int64_t kProducts = kMaxQueryTiles * kGroup / kTile;  // of a list, at most

struct alignas(64) Scratch {
  uint8_t operands[2][2 * kTileCells * kGroup];     // a group of keys or of values, and the next
  uint8_t weights[kMaxQueryTiles][2 * kTileBytes];  // of each query tile, or of each group
  float scales[kRunGroups][kTileCells];
  int32_t sums[2][3][kTile * kTile];
  Product list[kProducts];
};
static_assert(sizeof(Scratch) <= kKernelScratch);

void begin() noexcept { load(TileConfig{}); }
void end() noexcept { _tile_release(); }

// ---- Codes as planes of bytes. ----

struct Planes {
  __m512i high, low;
};

// The low bytes of a's halves of words, the high ones of b's.
FATHOM_INLINE inline __m512i bytes_of(__m512i a, __m512i b) noexcept {
  return _mm512_ternarylogic_epi32(_mm512_set1_epi16(255), a, b, 0xCA);
}
FATHOM_INLINE inline __m512i high_bytes(__m512i a, __m512i b) noexcept { return bytes_of(_mm512_srli_epi16(a, 8), b); }
FATHOM_INLINE inline __m512i low_bytes(__m512i a, __m512i b) noexcept { return bytes_of(a, _mm512_slli_epi16(b, 8)); }

// 64 codes, of a and b in turns.
FATHOM_INLINE inline Planes split(__m512i a, __m512i b) noexcept { return {high_bytes(a, b), low_bytes(a, b)}; }

// 32 codes from the i-th of a row on; not kWhole: the first n of them, the others zero, n any number.
template <bool kNarrow, bool kWhole>
FATHOM_INLINE inline __m512i load_codes(const std::byte* row, int64_t i, int64_t n) noexcept {
  const __mmask32 some = kWhole || n >= 32 ? ~__mmask32{0} : n <= 0 ? __mmask32{0} : (__mmask32{1} << n) - 1;
  if constexpr (kNarrow)
    return _mm512_cvtepi8_epi16(_mm256_maskz_loadu_epi8(some, row + i));
  else
    return _mm512_maskz_loadu_epi16(some, row + 2 * i);
}

int64_t depth_tiles(int64_t n) noexcept { return (n + kDepth - 1) / kDepth; }

void pack_query(const int16_t* codes, int64_t n, int64_t lane, uint32_t* words) noexcept {
  const auto* row = reinterpret_cast<const std::byte*>(codes);
  for (int64_t i = 0; i < n; i += kDepth) {
    const Planes p = split(load_codes<false, false>(row, i, n - i), load_codes<false, false>(row, i + 32, n - i - 32));
    uint32_t parts[2 * kTile];
    _mm512_storeu_si512(parts, p.high);
    _mm512_storeu_si512(parts + kTile, p.low);
    for (const uint32_t four : parts) {
      words[lane] = four;
      words += kLanes;
    }
  }
}

// Keys become tiles (blocks of sixteen cells, 64 numbers, planes), a cell at a time. Cells after the last stay what
// they were: so do their scores.
template <bool kNarrow, bool kWhole>
FATHOM_INLINE inline void pack_key(const CodeGroup& g, int64_t cell, int64_t j, uint8_t* tiles) noexcept {
  constexpr int64_t kPlanes = kNarrow ? 1 : 2;
  const std::byte* row = g.codes + cell * g.stride;
  const int64_t columns = kWhole ? kGroup : g.n;
  uint8_t* to = tiles + j / kTile * depth_tiles(columns) * kPlanes * kTileBytes + j % kTile * kDepth;
  for (int64_t i = 0; i < columns; i += kDepth, to += kPlanes * kTileBytes) {
    const Planes p = split(load_codes<kNarrow, kWhole>(row, i, columns - i),
                           load_codes<kNarrow, kWhole>(row, i + 32, columns - i - 32));
    if (!kNarrow) _mm512_store_si512(to, p.high);
    _mm512_store_si512(to + (kPlanes - 1) * kTileBytes, p.low);
  }
}

// Cells [begin, end), the tiles of which begin at `tiles`.
template <bool kNarrow>
void pack_keys(const CodeGroup& g, int64_t n, int64_t begin, int64_t end, uint8_t* tiles) noexcept {
  end = smaller(end, n);
  if (g.n == kGroup)
    for (int64_t j = begin; j < end; ++j) pack_key<kNarrow, true>(g, j, j - begin, tiles);
  else
    for (int64_t j = begin; j < end; ++j) pack_key<kNarrow, false>(g, j, j - begin, tiles);
}

constexpr auto* pack_query8 = pack_query;  // codes of 8 bits are a plane of their own signs and one of bytes

int64_t whole_columns(int64_t n) noexcept { return (n + kColumns - 1) / kColumns * kColumns; }

// The k-th of the four cells that row r of a tile of values holds: the order in which pack_weights leaves them.
constexpr int64_t cell_of(int64_t r, int64_t k) noexcept {
  return r % 4 / 2 * 16 + r / 4 * 4 + r % 2 * 2 + k / 2 + k % 2 * 32;
}

// Values become tiles (blocks of sixteen columns, planes); two blocks hold 32 columns, four of eight in turns. This is
// row r of two blocks, their columns from i on. Rows without cells stay what they were, and meet weights of zero.
template <bool kNarrow, bool kWhole>
FATHOM_INLINE inline void pack_four(const CodeGroup& g, int64_t n, int64_t r, int64_t i, uint8_t* to) noexcept {
  constexpr int64_t kPlanes = kNarrow ? 1 : 2;
  __m512i c[4];
  unroll<4>([&](int k) FATHOM_INLINE {
    c[k] = load_codes<kNarrow, kWhole>(g.codes + smaller(cell_of(r, k), n - 1) * g.stride, i, g.n - i);
  });
  const auto store = [&](__m512i two, __m512i next_two, uint8_t* plane) FATHOM_INLINE {
    _mm512_store_si512(plane, _mm512_unpacklo_epi16(two, next_two));
    _mm512_store_si512(plane + kPlanes * kTileBytes, _mm512_unpackhi_epi16(two, next_two));
  };
  if (!kNarrow) store(high_bytes(c[0], c[1]), high_bytes(c[2], c[3]), to);
  store(low_bytes(c[0], c[1]), low_bytes(c[2], c[3]), to + (kPlanes - 1) * kTileBytes);
}

template <bool kNarrow, bool kWhole>
FATHOM_INLINE inline void pack_columns(const CodeGroup& g, int64_t n, int64_t begin, int64_t end,
                                       uint8_t* tiles) noexcept {
  for (int64_t r = 0; r < kTile; ++r) {
    if (cell_of(r, 0) >= n) continue;
    uint8_t* to = tiles + r * kDepth;
    for (int64_t i = begin; i < end; i += kColumns, to += 2 * (kNarrow ? 1 : 2) * kTileBytes)
      pack_four<kNarrow, kWhole>(g, n, r, i, to);
  }
}

// Columns [begin, end), the tiles of which begin at `tiles`.
template <bool kNarrow>
void pack_values(const CodeGroup& g, int64_t n, int64_t begin, int64_t end, uint8_t* tiles) noexcept {
  if (g.n < kGroup)
    pack_columns<kNarrow, false>(g, n, begin, smaller(end, g.n), tiles);
  else if (end - begin == kGroup)  // in constants, so that the loop over columns is unrolled
    pack_columns<kNarrow, true>(g, n, 0, kGroup, tiles);
  else
    pack_columns<kNarrow, true>(g, n, begin, end, tiles);
}

// The groups of a list in parts of cells or of columns, each packed before the products of the one before it: tiles are
// read some time after they are written, for what has just been stored cannot be loaded as a tile at once, but not
// so late that they would have left the first cache.
struct Packing {
  void (*pack)(const CodeGroup&, int64_t n, int64_t begin, int64_t end, uint8_t* tiles) noexcept;
  const CodeGroup *group, *end;
  int64_t n, length, part;  // cells; cells or columns of a group and of a part
  uint8_t* tiles[2];
  int64_t products;  // of a part
  int64_t begin = 0;

  void next() noexcept {
    if (group == end) return;
    pack(*group, n, begin, begin + part, tiles[0]);
    uint8_t* const packed = tiles[0];
    tiles[0] = tiles[1];
    tiles[1] = packed;
    begin += part;
    if (begin < length) return;
    begin = 0;
    ++group;
  }
};

// Zeros after the last.
void gather_scales(const CodeGroup& g, int64_t n, float* scales) noexcept {
  if (g.scale_stride == 1)
    for (int64_t j = 0; j < kTileCells; j += kTile) load_some(g.scales + j, n - j).store(scales + j);
  else
    for (int64_t j = 0; j < kTileCells; ++j) scales[j] = j < n ? g.scales[j * g.scale_stride] : 0.0f;
}

// Blocks of sixteen cells, each (lanes, cells); zeros after the last.
void pack_probs(float* p, int64_t n) noexcept {
  for (int64_t first = 0; first < kTileCells; first += kTile, p += kTile * kLanes) {
    __m512i r[kTile];
    for (int64_t j = 0; j < kTile; ++j) r[j] = first + j < n ? load_words(p + j * kLanes) : _mm512_setzero_si512();
    transpose(r);
    for (int64_t l = 0; l < kLanes; ++l) _mm512_storeu_si512(p + l * kTile, r[l]);
  }
}

// Two tiles (lanes, 64 cells) from what pack_probs left.
void pack_weights(const float* p, const float* scales, const float* inverse, uint8_t* tiles) noexcept {
  F32 scale[4];
  unroll<4>([&](int i) FATHOM_INLINE { scale[i] = F32::load(scales + i * kTile); });
  for (int64_t l = 0; l < kLanes; ++l) {
    __m512i w[4];
    unroll<4>([&](int i) FATHOM_INLINE {
      const F32 x = F32::load(p + (i * kLanes + l) * kTile) * scale[i] * F32::all(inverse[l]);
      w[i] = _mm512_and_si512(rounded(x), _mm512_set1_epi32(0xFFFF));  // not finite: 2^31, of which zeros stay
    });
    const Planes both = split(_mm512_packus_epi32(w[0], w[1]), _mm512_packus_epi32(w[2], w[3]));
    _mm512_store_si512(tiles + l * kDepth, both.high);
    _mm512_store_si512(tiles + kTileBytes + l * kDepth, both.low);
  }
}

// ---- Products of tiles. ----

enum class Narrow : uint8_t { none, rows, columns };

// What scales the integer sums of a product, in registers.
struct Finish {
  const float* row_scale;
  float* out;
  F32 lane_scale;
  __mmask16 old;
};

// One row.
template <Narrow kNarrow, bool kLaneScale>
FATHOM_INLINE inline void finish_row(const int32_t (*sums)[kTile * kTile], const Finish& p, int64_t i) noexcept {
  const auto row = [&](int plane) FATHOM_INLINE { return _mm512_load_si512(sums[plane] + i * kTile); };
  __m512i sum = row(1);
  if constexpr (kNarrow == Narrow::none) sum = _mm512_add_epi32(_mm512_slli_epi32(row(0), 8), sum);
  sum = _mm512_add_epi32(_mm512_slli_epi32(sum, 8), row(2));
  const F32 product = {_mm512_cvtepi32_ps(sum)}, row_scale = F32::all(p.row_scale[i]);
  const F32 before = {_mm512_maskz_loadu_ps(p.old, p.out + i * kTile)};
  if constexpr (kLaneScale)
    fma(product * row_scale, p.lane_scale, before).store(p.out + i * kTile);
  else
    fma(product, row_scale, before).store(p.out + i * kTile);
}

// A list of products, kSteps tiles deep. Tile products and vectors have units of their own, but one waits for the
// other's results: so the tiles of a product are multiplied while those of the one before are stored and what was
// stored before that is scaled, by turns. On an Intel Xeon (Sapphire Rapids) that takes two thirds of the time of one
// after the other, about 120 cycles for a product one step deep; its four tile products alone take 64, its loads and
// stores the most of the others (docs/performance/laboratory.md). The sums 2^16, 2^8 and 1 are tiles 0 .. 2 and 3 .. 5
// by turns; 6 holds rows, 7 columns.
template <Narrow kNarrow, int kSteps, bool kLaneScale>
void multiply(const Product* list, int64_t count, Packing packing, int32_t (*sums)[3][kTile * kTile], Prefetch& ahead,
              int64_t lines) noexcept {
  constexpr bool kBoth = kNarrow == Narrow::none;
  constexpr int kPieces = kSteps * (kBoth ? 4 : 2), kRowsOfPiece = kTile / kPieces;
  constexpr int64_t kRowPlanes = kNarrow == Narrow::rows ? 1 : 2, kColumnPlanes = kNarrow == Narrow::columns ? 1 : 2;
  packing.next();
  for (int64_t t = 0, next = 0; t < count + 2; ++t) {
    if (t == next) {
      packing.next();
      next += packing.products;
      written(list);
    }
    const bool multiplies = t < count, stores = t >= 1 && t <= count, finishes = t >= 2;
    const Product& now = list[multiplies ? t : 0];
    const auto rows = [&](int step, int plane)
                          FATHOM_INLINE { return now.rows + (step * kRowPlanes + plane) * kTileBytes; };
    const auto columns = [&](int step, int plane)
                             FATHOM_INLINE { return now.columns + (step * kColumnPlanes + plane) * kTileBytes; };
    const Product& last = list[finishes ? t - 2 : 0];
    const Finish to = {last.row_scale, last.out, kLaneScale ? F32::load(last.lane_scale) : F32::zero(),
                       static_cast<__mmask16>(last.old ? 0xFFFF : 0)};
    const int32_t(*const finished)[kTile * kTile] = sums[t % 2];
    const auto finish = [&](int piece) FATHOM_INLINE {
      if (finishes)
        unroll<kRowsOfPiece>(
            [&](int i) FATHOM_INLINE { finish_row<kNarrow, kLaneScale>(finished, to, piece * kRowsOfPiece + i); });
      written(list);
    };
    int32_t(*const stored)[kTile * kTile] = sums[(t + 1) % 2];
    fetch(ahead, lines);
// A macro, for the numbers of tiles are part of the instructions' names.
#define FATHOM_TURN(high, middle, low, high_before, middle_before, low_before) \
  {                                                                            \
    if (multiplies) {                                                          \
      if constexpr (kBoth) _tile_zero(high);                                   \
      _tile_zero(middle);                                                      \
      _tile_zero(low);                                                         \
    }                                                                          \
    unroll<kSteps>([&](int s) FATHOM_INLINE {                                  \
      const int piece = s * (kPieces / kSteps);                                \
      if (multiplies) {                                                        \
        _tile_loadd(7, columns(s, 0), kDepth);                                 \
        _tile_loadd(6, rows(s, 0), kDepth);                                    \
        if constexpr (kBoth)                                                   \
          _tile_dpbssd(high, 6, 7);                                            \
        else                                                                   \
          _tile_dpbssd(middle, 6, 7);                                          \
      }                                                                        \
      if (kBoth && s == 0 && stores) _tile_stored(high_before, stored[0], 64); \
      finish(piece);                                                           \
      if (multiplies) {                                                        \
        if constexpr (kNarrow == Narrow::rows) {                               \
          _tile_loadd(7, columns(s, 1), kDepth);                               \
          _tile_dpbsud(low, 6, 7);                                             \
        } else {                                                               \
          _tile_loadd(6, rows(s, 1), kDepth);                                  \
          if constexpr (kBoth)                                                 \
            _tile_dpbusd(middle, 6, 7);                                        \
          else                                                                 \
            _tile_dpbusd(low, 6, 7);                                           \
        }                                                                      \
      }                                                                        \
      if (s == 0 && stores) _tile_stored(low_before, stored[2], 64);           \
      finish(piece + 1);                                                       \
      if (kBoth && multiplies) {                                               \
        _tile_loadd(7, columns(s, 1), kDepth);                                 \
        _tile_dpbuud(low, 6, 7);                                               \
      }                                                                        \
      if (s == 0 && stores) _tile_stored(middle_before, stored[1], 64);        \
      if constexpr (kBoth) {                                                   \
        finish(piece + 2);                                                     \
        if (multiplies) {                                                      \
          _tile_loadd(6, rows(s, 0), kDepth);                                  \
          _tile_dpbsud(middle, 6, 7);                                          \
        }                                                                      \
        finish(piece + 3);                                                     \
      }                                                                        \
    });                                                                        \
  }
    if (t % 2 == 0)
      FATHOM_TURN(0, 1, 2, 3, 4, 5)
    else
      FATHOM_TURN(3, 4, 5, 0, 1, 2)
#undef FATHOM_TURN
  }
}

int64_t lines_ahead(int64_t n_query_tiles) noexcept { return (kFetched + n_query_tiles - 1) / n_query_tiles; }

// Groups from the first on that one list takes: whole ones of one kind, or one.
int64_t run_length(const CodeGroup* groups, int64_t n_groups, int64_t n_query_tiles) noexcept {
  const int64_t most = smaller(smaller(n_groups, kRunGroups), kMaxQueryTiles / n_query_tiles);
  int64_t n = 1;
  if (groups->n == kGroup)
    while (n < most && groups[n].n == kGroup && groups[n].narrow == groups->narrow) ++n;
  return n;
}

// Few query tiles and wide codes: small parts, which stay in the first cache with all else. Many query tiles: large
// ones, so that a query tile's own tiles are read seldom.
template <bool kNarrow>
int64_t part_of(int64_t small, int64_t large, int64_t n_query_tiles) noexcept {
  return kNarrow || n_query_tiles > kFewQueryTiles ? large : small;
}

// Of `length` cells or columns in parts, the blocks of the first part.
int64_t blocks_of(int64_t part, int64_t length) noexcept { return (smaller(part, length) + kTile - 1) / kTile; }

template <bool kNarrow, int kSteps>
void score_run(const CodeGroup* keys, int64_t n_run, int64_t n, ScoreTile* query_tiles, int64_t n_query_tiles, bool old,
               Prefetch& ahead, Scratch& s) noexcept {
  constexpr int64_t kBlock = kSteps * (kNarrow ? 1 : 2) * kTileBytes;
  const int64_t part = part_of<kNarrow>(kTile, kTileCells, n_query_tiles);
  int64_t count = 0, parts = 0;
  for (int64_t g = 0; g < n_run; ++g) {
    gather_scales(keys[g], n, s.scales[g]);
    for (int64_t begin = 0; begin < n; begin += part, ++parts)
      for (ScoreTile* p = query_tiles; p < query_tiles + n_query_tiles; ++p)
        for (int64_t j = begin; j < smaller(begin + part, n); j += kTile)
          s.list[count++] = {s.operands[parts % 2] + (j - begin) / kTile * kBlock,
                             reinterpret_cast<const uint8_t*>(p->queries),
                             s.scales[g] + j,
                             p->scales,
                             p->scores + j * kLanes,
                             old || g > 0};
    for (ScoreTile* p = query_tiles; p < query_tiles + n_query_tiles; ++p) {
      p->queries += group_words(keys[g].n) * kLanes;
      p->scales += kLanes;
    }
  }
  const Packing packing{.pack = pack_keys<kNarrow>,
                        .group = keys,
                        .end = keys + n_run,
                        .n = n,
                        .length = n,
                        .part = part,
                        .tiles = {s.operands[0], s.operands[1]},
                        .products = n_query_tiles * blocks_of(part, n)};
  multiply<kNarrow ? Narrow::rows : Narrow::none, kSteps, true>(s.list, count, packing, s.sums, ahead,
                                                                lines_ahead(n_query_tiles));
}

void score(const CodeGroup* keys, int64_t n_groups, int64_t n, const ScoreTile* query_tiles, int64_t n_query_tiles,
           Prefetch& ahead, void* scratch) noexcept {
  ScoreTile at[kMaxQueryTiles];
  for (int64_t p = 0; p < n_query_tiles; ++p) at[p] = query_tiles[p];
  for (int64_t g = 0, run = 0; g < n_groups; g += run) {
    run = run_length(keys + g, n_groups - g, n_query_tiles);
    const bool one = depth_tiles(keys[g].n) == 1;
    const auto go = keys[g].narrow ? (one ? score_run<true, 1> : score_run<true, 2>)
                                   : (one ? score_run<false, 1> : score_run<false, 2>);
    go(keys + g, run, n, at, n_query_tiles, g > 0, ahead, *static_cast<Scratch*>(scratch));
  }
}

template <bool kNarrow>
void add_run(const CodeGroup* values, int64_t n_run, int64_t n, ValueTile* query_tiles, int64_t n_query_tiles, bool add,
             Prefetch& ahead, Scratch& s) noexcept {
  constexpr int64_t kBlock = (kNarrow ? 1 : 2) * kTileBytes;
  const int64_t part = part_of<kNarrow>(kColumns, kGroup, n_query_tiles), columns = whole_columns(values->n);
  int64_t count = 0, parts = 0;
  for (int64_t g = 0; g < n_run; ++g) {
    gather_scales(values[g], n, s.scales[g]);
    uint8_t(*const weights)[2 * kTileBytes] = s.weights + g * n_query_tiles;
    for (int64_t i = 0; i < n_query_tiles; ++i)
      pack_weights(query_tiles[i].probabilities, s.scales[g], query_tiles[i].inverse, weights[i]);
    for (int64_t begin = 0; begin < columns; begin += part, ++parts)
      for (int64_t i = 0; i < n_query_tiles; ++i)
        for (int64_t c = begin; c < smaller(begin + part, columns); c += kTile)
          s.list[count++] = {weights[i],
                             s.operands[parts % 2] + (c - begin) / kTile * kBlock,
                             query_tiles[i].factor,
                             nullptr,
                             query_tiles[i].sums + c * kLanes,
                             add};
    for (ValueTile* p = query_tiles; p < query_tiles + n_query_tiles; ++p) {
      p->inverse += kLanes;
      p->factor += kLanes;
      p->sums += values[g].n * kLanes;
    }
  }
  const Packing packing{.pack = pack_values<kNarrow>,
                        .group = values,
                        .end = values + n_run,
                        .n = n,
                        .length = columns,
                        .part = part,
                        .tiles = {s.operands[0], s.operands[1]},
                        .products = n_query_tiles * blocks_of(part, columns)};
  multiply<kNarrow ? Narrow::columns : Narrow::none, 1, false>(s.list, count, packing, s.sums, ahead,
                                                               lines_ahead(n_query_tiles));
}

void add_values(const CodeGroup* values, int64_t n_groups, int64_t n, const ValueTile* query_tiles,
                int64_t n_query_tiles, bool add, Prefetch& ahead, void* scratch) noexcept {
  ValueTile at[kMaxQueryTiles];
  for (int64_t p = 0; p < n_query_tiles; ++p) at[p] = query_tiles[p];
  for (int64_t g = 0, run = 0; g < n_groups; g += run) {
    run = run_length(values + g, n_groups - g, n_query_tiles);
    const auto go = values[g].narrow ? add_run<true> : add_run<false>;
    go(values + g, run, n, at, n_query_tiles, add, ahead, *static_cast<Scratch*>(scratch));
  }
}

// ---- Sums: blocks of sixteen columns as pack_values leaves them, each (lanes, columns). ----

void scale_sums(float* sums, int64_t n, const float* rescale) noexcept {
  for (int64_t i = 0; i < whole_columns(n); i += kTile)
    for (int64_t l = 0; l < kLanes; ++l, sums += kTile) (F32::load(sums) * F32::all(rescale[l])).store(sums);
}

void unpack_sums(const float* sums, int64_t n, float* out, int64_t stride) noexcept {
  for (int64_t i = 0; i < n; i += kColumns, sums += kColumns * kLanes)
    for (int64_t l = 0; l < kLanes; ++l)
      store_columns(F32::load(sums + l * kTile), F32::load(sums + (kLanes + l) * kTile), n - i, out + l * stride + i);
}

// Four products of bytes for one of int16.
double peak(int64_t rounds) noexcept {
  begin();
  for (int64_t i = 0; i < rounds; ++i) {
    _tile_dpbssd(0, 4, 6);
    _tile_dpbsud(1, 4, 7);
    _tile_dpbusd(2, 5, 6);
    _tile_dpbuud(3, 5, 7);
  }
  end();
  return 2.0 * 16 * 16 * 64 * static_cast<double>(rounds);
}

#undef FATHOM_INLINE

}  // namespace

const Int16Kernel int16 = {
    .name = "amx",
    .biased_levels = false,
    .begin = begin,
    .end = end,
    .quantize = quantize<float>,
    .quantize_bf16 = quantize<uint16_t>,
    .peak = peak,
#include "kernels/isa/int16_table.inl"
};

}  // namespace fathom::amx
