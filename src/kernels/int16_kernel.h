// Micro-kernels of attention in 16-bit integers, as one table of function pointers for each instruction set: what
// Numerics::quantised multiplies queries, keys and values with.
//
// A *query tile* is kLanes rows of queries, one in each lane, and scores are stored as (cell, lane), so that maxima,
// exponentials and sums need no horizontal step. A *cell* is one cached position. Keys and values are read as the cache
// holds them, kTileCells cells and one *group* of kGroup columns at a time. Each such tile is packed once and then
// reused by all query tiles; the packed layout is private to the table.
//     scores   s_jl = sum_i k_ji q_il   over the columns of a group
//     sums     z_il = sum_j v_ji p_jl   over the cells of a tile
//
// No int32 sum overflows:
//     scores   kGroup products of two codes of at most kMaxCode: 128 * 4095^2          = 2,146,435,200 < 2^31
//     sums     kTileCells products of kMaxProb by kMaxCode:      64 * 8191 * 4095      = 2,146,697,280 < 2^31
// The sum of each group is scaled and added in float32. Every function gives the same bits in every table, and the bits
// of a lane depend on that lane alone. Kernels start no threads, allocate nothing and throw nothing; pointers need the
// alignment of their type.
#pragma once
#include <cstddef>
#include <cstdint>

namespace fathom {

inline constexpr int64_t kLanes = 16;
inline constexpr int64_t kGroup = 128;         // columns that share a scale
inline constexpr int64_t kTileCells = 64;      // cached positions of a tile
inline constexpr int64_t kMaxCode = 4095;      // of queries, keys and values
inline constexpr int64_t kMaxProb = 8191;      // of probabilities
inline constexpr int64_t kMaxCode8 = 127;      // of keys and values in 8 bits, and of queries that meet such keys
inline constexpr int64_t kMaxProb8 = 255;      // of probabilities that meet levels of few bits
inline constexpr int64_t kMaxQueryTiles = 16;  // that one call takes, which share the packing of a tile
static_assert(kGroup * kMaxCode * kMaxCode < int64_t{1} << 31);
static_assert(kTileCells * kMaxProb * kMaxCode < int64_t{1} << 31);

// The running (online) softmax of a query tile, by lane. Probabilities are e^(s - shift). The shift follows the running
// maximum of the scores, but only when that exceeds it by more than kShiftSlack, so that sums are seldom rescaled.
inline constexpr float kShiftSlack = 8;
struct alignas(64) LaneState {
  float shift[kLanes];     // -infinity before the first visible cell
  float sum[kLanes];       // of probabilities
  float rescale[kLanes];   // by the last tile: what the sums of the tiles before it are to be multiplied with
  float top_prob[kLanes];  // the largest probability of the last tile
};

// Memory that will be read soon: calls prefetch some lines of it while they multiply something else.
struct Prefetch {
  const char *at = nullptr, *end = nullptr;
};

// The codes of one group of columns of a tile: n for each cell, the cells `stride` bytes apart.
struct CodeGroup {
  const std::byte* codes = nullptr;
  int64_t stride = 0;
  const float* scales = nullptr;  // of cell j: scales[j * scale_stride]
  int64_t scale_stride = 0;
  int64_t n = 0;        // at most kGroup
  bool narrow = false;  // codes are int8; else int16, of which the word (two codes) of an odd last column is readable
  // Of narrow groups, whether what meets them has 8 bits too: queries, by pack_query8; probabilities, up to kMaxProb8,
  // for which all groups have the same scales.
  bool byte_queries = false, byte_probs = false;
  bool biased = false;  // with both: 128 is added to the codes, for a kernel that wants it (biased_levels)
};

// The codes of one row in at most two planes: the low `bits`, and above them those of the second plane.
struct CodePlanes {
  const std::byte *low = nullptr, *high = nullptr;
  int low_bits = 4, high_bits = 0;  // 2 or 4; 0 (none), 1 or 2
};

// A query tile, to be multiplied with groups of keys.
struct ScoreTile {
  const uint32_t* queries;  // of all groups, by pack_query: query_words (int16_attention.h) of each
  const float* scales;      // (groups, kLanes)
  float* scores;            // (kTileCells, kLanes)
};

// The probabilities of a query tile, to be multiplied with groups of values.
struct ValueTile {
  const float* probabilities;     // (kTileCells * kLanes), by softmax and pack_probs
  const float *inverse, *factor;  // (groups, kLanes), by prob_scales
  float* sums;                    // of all groups, columns without gaps
};

// Scratch of one call, aligned to 64 bytes: the packed tile, quantised probabilities, integer sums.
inline constexpr int64_t kKernelScratch = 12 * kTileCells * kGroup;  // bytes

inline constexpr float kLeastProbScale = 1e-34f;  // of a probability times a scale of values: less is taken for 0

struct Int16Kernel {
  const char* name;
  bool biased_levels;  // keys and values that are unpack_levels' are wanted with 128 added to each: as bytes of no sign

  // Called before and after all calls of score and add_values for a tile: they set up the state of the CPU (AMX tiles).
  // nullptr: there is none to set up.
  void (*begin)() noexcept;
  void (*end)() noexcept;

  // encode_group of kvcache/cache_row.h, from float32 and from bfloat16; n <= kGroup.
  float (*quantize)(const float* x, int64_t n, int largest, int16_t* codes) noexcept;
  float (*quantize_bf16)(const uint16_t* x, int64_t n, int largest, int16_t* codes) noexcept;

  // Runs independent multiply-adds between registers `rounds` times and returns the number of operations, two for each
  // multiply-add (kernels/peak.h). nullptr: not known.
  double (*peak)(int64_t rounds) noexcept;

  // Packs one group of one query into its lane. codes: n, then zeros up to kGroup. Writes words[w * kLanes + lane] for
  // w < query_words(n) (int16_attention.h): all of them, or those that score reads. A word of zero is two codes of
  // zero.
  void (*pack_query)(const int16_t* codes, int64_t n, int64_t lane, uint32_t* words) noexcept;

  // The same for keys of byte_queries, with codes of at most kMaxCode8.
  void (*pack_query8)(const int16_t* codes, int64_t n, int64_t lane, uint32_t* words) noexcept;

  // scores[j * kLanes + l] = sum over groups of (sum of k_ji q_il) * keys.scales[j * keys.scale_stride] * scales[l],
  // in the order of the groups, for cells j < n; the last multiplication and addition of each are one fma. Scores of
  // cells from n on may be overwritten. Advances `ahead` by what it prefetches.
  void (*score)(const CodeGroup* keys, int64_t n_groups, int64_t n, const ScoreTile* query_tiles, int64_t n_query_tiles,
                Prefetch& ahead, void* scratch) noexcept;

  // Turns scores s (n, kLanes), n <= kTileCells, into probabilities in place: e^(scale * s - shift), and 0 for cells
  // from visible[lane] on. Updates the state; returns whether any rescale differs from 1.
  bool (*softmax)(float* s, int64_t n, const int32_t* visible, float scale, LaneState& state) noexcept;

  // Probabilities p (n, kLanes) as those whole multiples of a quantised one that add_values will round them to again,
  // where groups of byte_probs share the scales of their cells; factor and inverse: of prob_scales.
  //     x_j = p_j scale_j inverse + rest_(j-1),   q_j = round(x_j), 0 to kMaxProb8,   rest_j = x_j - q_j
  //     p_j = q_j factor / scale_j, or 0 where scale_j is at most kLeastProbScale
  void (*carry_rests)(float* p, int64_t n, const float* scales, int64_t scale_stride, const float* factor,
                      const float* inverse) noexcept;

  // Rearranges probabilities p (n, kLanes) in place into the order that add_values reads; p has space for kTileCells.
  void (*pack_probs)(float* p, int64_t n) noexcept;

  // The scales of quantised probabilities for one group: factors[l] = top_prob[l] * largest[visible[l]] / most is what
  // a quantised probability of 1 stands for (most: kMaxProb or kMaxProb8), and inverses[l] = 1 / factors[l]. Both are 0
  // where the factor is less than kLeastProbScale; where it is infinite or NaN the inverse is 0, and a NaN factor is
  // kept.
  void (*prob_scales)(const float* top_prob, const int32_t* visible, const float* largest, float most, float* factors,
                      float* inverses) noexcept;

  // out[i] = levels[code of column i] for n columns (a multiple of 64) of one row. Its codes are in `planes`, as
  // kvcache/latent_row.h says; levels has 64 entries, those that no code names 0.
  void (*unpack_levels)(const CodePlanes& planes, int64_t n, const int8_t* levels, int8_t* out) noexcept;

  // The keys of one row, n codes in neighbouring pairs (a, b), rotated by two turns and rounded to codes again:
  //     a' = a cos - b sin, b' = b cos + a sin   by `coarse`, then by `fine`;   out = round(growth * a''), ...
  // A turn is (2, n): the cosine of each pair twice, then its sine with the sign that it has above (-, +).
  void (*rotate_codes)(const int8_t* codes, int64_t n, const float* coarse, const float* fine, float growth,
                       int16_t* out) noexcept;

  // For each group and i < values.n: sums_il = (add ? sums_il : 0) + (sum_j v_ji q_jl) * factor[l], the last two
  // operations one fma, with quantised probabilities
  //     q_jl = round(p_jl * values.scales[j * values.scale_stride] * inverse[l]),  0 if not finite,
  // at most kMaxProb, or kMaxProb8 for groups of byte_probs.
  // Advances `ahead` by what it prefetches.
  void (*add_values)(const CodeGroup* values, int64_t n_groups, int64_t n, const ValueTile* query_tiles,
                     int64_t n_query_tiles, bool add, Prefetch& ahead, void* scratch) noexcept;

  // For n columns and all lanes: scale_sums computes sums_il *= rescale[l]; unpack_sums out[l * stride + i] = sums_il.
  void (*scale_sums)(float* sums, int64_t n, const float* rescale) noexcept;
  void (*unpack_sums)(const float* sums, int64_t n, float* out, int64_t stride) noexcept;
};

}  // namespace fathom
