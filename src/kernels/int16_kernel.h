// The inner part of attention in 16-bit integers, as a table of function pointers for each instruction set: what
// Numerics::quantised multiplies with.
//
// Query rows stand side by side as lanes: a *query tile* is kLanes rows, and scores are stored (cell, lane), so that
// maxima, exponentials and sums need no horizontal step. Keys and values are read as the cache holds them, a tile of
// cells and a *group* of numbers at a time, and brought once for all query tiles into the form that the table
// multiplies.
//     scores   s_jl = sum_i k_ji q_il   over the numbers of a group
//     sums     z_il = sum_j v_ji p_jl   over the cells of a tile
//
// No int32 sum overflows:
//     scores   groups of kGroup numbers, both at most kMaxCode: 128 * 4095^2         = 2,146,435,200 < 2^31
//     sums     tiles of kTileCells cells, kMaxProb by kMaxCode: 64 * 8191 * 4095  = 2,146,697,280 < 2^31
// Each group's sum is scaled and added in float32. Every function gives the same bits in every table, and the bits of a
// lane depend on that lane alone. How a table stores packed queries and sums is its own affair. Kernels start no
// threads, allocate nothing, throw nothing; pointers need the alignment of their type.
#pragma once
#include <cstddef>
#include <cstdint>

namespace fathom {

inline constexpr int64_t kLanes = 16;
inline constexpr int64_t kGroup = 128;         // numbers that share a scale
inline constexpr int64_t kTileCells = 64;      // cached positions of a tile
inline constexpr int64_t kMaxCode = 4095;      // of queries, keys and values
inline constexpr int64_t kMaxProb = 8191;      // of probabilities
inline constexpr int64_t kMaxQueryTiles = 16;  // done together, so that a tile is brought into form once for all
static_assert(kGroup * kMaxCode * kMaxCode < int64_t{1} << 31);
static_assert(kTileCells * kMaxProb * kMaxCode < int64_t{1} << 31);

// The running softmax of a query tile, by lane. Probabilities are e^(s - shift); the shift follows the largest score,
// but only when that is more than kShiftSlack above it, so that sums are seldom scaled again.
inline constexpr float kShiftSlack = 8;
struct alignas(64) LaneState {
  float shift[kLanes];     // -infinity before the first visible cell
  float sum[kLanes];       // of probabilities
  float rescale[kLanes];   // of the last tile: what the sums before it are to be multiplied with
  float top_prob[kLanes];  // of the last tile: the largest probability
};

// Memory that will be read soon, fetched while something else is multiplied: some lines for each call.
struct Prefetch {
  const char *at = nullptr, *end = nullptr;
};

// Codes of one group of columns of a tile: `n` of them for each cell, cells `stride` bytes apart.
struct CodeGroup {
  const std::byte* codes = nullptr;
  int64_t stride = 0;
  const float* scales = nullptr;  // of cell j: scales[j * scale_stride]
  int64_t scale_stride = 0;
  int64_t n = 0;        // at most kGroup
  bool narrow = false;  // int8; else int16, where a word (two codes) of an odd last column must be readable
};

// One query tile against groups of keys.
struct ScoreTile {
  const uint32_t* queries;  // of all groups, by pack_query: query_words (int16_attention.h) of each
  const float* scales;      // (groups, kLanes)
  float* scores;            // (kTileCells, kLanes)
};

// One query tile against groups of values.
struct ValueTile {
  const float* probabilities;     // (kTileCells * kLanes), by softmax and pack_probs
  const float *inverse, *factor;  // (groups, kLanes): of weights, and what a weight of one stands for
  float* sums;                    // of all groups, columns without gaps
};

// What a table needs for a tile, aligned to 64 bytes: operands in its form, weights, integer sums.
inline constexpr int64_t kKernelScratch = 12 * kTileCells * kGroup;  // bytes

inline constexpr float kLeastProbScale = 1e-34f;  // of a weight: less does not matter

struct Int16Kernel {
  const char* name;

  // Around all calls of score and add_values for a tile: the state of the CPU that they need. nullptr: none.
  void (*begin)() noexcept;
  void (*end)() noexcept;

  // encode_group of kvcache/cache_row.h, from float32 and from bfloat16; n <= kGroup.
  float (*quantize)(const float* x, int64_t n, int largest, int16_t* codes) noexcept;
  float (*quantize_bf16)(const uint16_t* x, int64_t n, int largest, int16_t* codes) noexcept;

  // `rounds` times some independent multiplications and additions between registers; returns their operations, two for
  // each multiply-add (kernels/peak.h). nullptr: not known.
  double (*peak)(int64_t rounds) noexcept;

  // A group of one query: n codes, zeros after them up to kGroup. Writes words w * kLanes + lane, w < query_words(n)
  // (int16_attention.h), all of them or those that score reads. Zeros in their place are codes of zero.
  void (*pack_query)(const int16_t* codes, int64_t n, int64_t lane, uint32_t* words) noexcept;

  // scores[j * kLanes + l] = sum over groups of (sum of k_ji q_il) * keys.scales[j * keys.scale_stride] * scales[l],
  // in order, j < n cells; the last product and sum of each are one fma. Scores of other cells may be overwritten.
  // Moves `ahead` on.
  void (*score)(const CodeGroup* keys, int64_t n_groups, int64_t n, const ScoreTile* query_tiles, int64_t n_query_tiles,
                Prefetch& ahead, void* scratch) noexcept;

  // Scores s (n, kLanes), n <= kTileCells, become probabilities: 0 for cells from visible[lane] on, else e^(scale * s -
  // shift); the state follows. Returns whether some rescale is not 1.
  bool (*softmax)(float* s, int64_t n, const int32_t* visible, float scale, LaneState& state) noexcept;

  // Probabilities p (n, kLanes), with room for kTileCells, into the order that add_values reads.
  void (*pack_probs)(float* p, int64_t n) noexcept;

  // For one group: factors[l] = top_prob[l] * largest[visible[l]] / kMaxProb, what a weight of one stands for, and
  // inverses. Both 0 where that is less than kLeastProbScale; where it is infinite or NaN the inverse is 0, and a
  // factor of NaN stays.
  void (*prob_scales)(const float* top_prob, const int32_t* visible, const float* largest, float* factors,
                      float* inverses) noexcept;

  // Of each group: sums_il = (add ? itself : 0) + (sum of v_ji w_jl) * factor[l] as one fma, i < values.n, weights
  //     w_jl = round(p_jl * values.scales[j * values.scale_stride] * inverse[l]),  at most kMaxProb;
  // 0 where that is not finite. Moves `ahead` on.
  void (*add_values)(const CodeGroup* values, int64_t n_groups, int64_t n, const ValueTile* query_tiles,
                     int64_t n_query_tiles, bool add, Prefetch& ahead, void* scratch) noexcept;

  // Of n columns: sums_il *= rescale[l];  out[l * stride + i] = sums_il, all lanes.
  void (*scale_sums)(float* sums, int64_t n, const float* rescale) noexcept;
  void (*unpack_sums)(const float* sums, int64_t n, float* out, int64_t stride) noexcept;
};

}  // namespace fathom
