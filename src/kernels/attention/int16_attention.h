// Softmax attention in 16-bit integers for tiles of query rows, one tile of keys and values at a time
// (kernels/int16_kernel.h): what Numerics::quantised runs. The rows of a query tile read the same keys and values: the
// heads of one or several tokens where all heads share a latent, or tokens of one head where keys are expanded.
//     s_j = scale <q, k_j>,  p_j = e^(s_j - shift),  z += sum_j p_j v_j,  l += sum_j p_j,   o = z / l
//
// What is rounded, and by how much that can change a result:
//     q, k, v   codes with one scale for each group of kGroup numbers: |error| <= m / 8190, where m is the largest
//               magnitude of the group (m / 254 for k and v of a q8 cache, from when they were stored). If d is the
//               largest error of a row's scores, its probabilities change by at most a factor e^(2 d).
//     p         the probabilities of a tile times the scale of v's group: |error| <= top / (2 * 8191), where top is the
//               largest probability of the tile times the largest scale among the cells that the row sees.
// The part of q that meets keys of 8 bits, those of a q8 cache or levels of few bits (kvcache/latent_row.h), has 8 bits
// too, |error| <= m / 254. So has what meets values that are levels: p |error| <= top / 510 for the sum over any run of
// cells from the first one of a tile on: what rounding leaves of one cell is added to the next, so that no attention is
// lost, however thinly it is spread. Everything else is float32. The bits of a row depend on the row, the cells that it
// sees, how these are cut into tiles, and the order of the tiles: not on the other rows of its query tile, nor on cells
// that it does not see.
#pragma once
#include <span>

#include "base/round.h"
#include "kernels/int16_kernel.h"
#include "kernels/kernel_table.h"
#include "tensor/view.h"

namespace fathom {

// What a cell's latent has beside its code: residual times the number `column` of a query, for its score.
struct CellResidual {
  int32_t cell, column;
  float value;
};

struct KvTile {
  int64_t n = 0;  // cells, at most kTileCells
  std::span<const CodeGroup> keys, values;
  Prefetch ahead = {};                           // the tile that comes next, if any
  bool levels = false;                           // values are levels: all groups of them have the scales of the first
  std::span<const CellResidual> residuals = {};  // of levels
};

constexpr int64_t n_groups(int64_t n) noexcept { return (n + kGroup - 1) / kGroup; }
constexpr int64_t n_words(int64_t n) noexcept { return (n + 1) / 2; }  // two codes a word

// Words of a part of a query, and columns of sums, rounded up to what the tables compute at once.
constexpr int64_t query_words(int64_t n) noexcept { return rounded_up(n, 64) / 2; }
constexpr int64_t sum_columns(int64_t n) noexcept { return rounded_up(n, 32); }

// kLanes rows of queries, packed by pack_lane, with their running softmax and sums.
struct QueryTile {
  uint32_t* words = nullptr;   // (query_words of all key parts, kLanes)
  float* scales = nullptr;     // (key groups, kLanes)
  int32_t* visible = nullptr;  // (kLanes): how many cells of the current K/V tile each row sees
  LaneState* state = nullptr;
  float* z = nullptr;  // (sum_columns of all values, kLanes): the weighted sums of values, for unpack_sums
  // For residuals of levels: the queries as float32, and the weighted sums of residuals; (columns, kLanes) each.
  const float* folded = nullptr;
  float* residual_sums = nullptr;
};

// How many words and groups a query has whose keys have parts of these widths (latent and rotated: two parts).
struct QueryShape {
  int64_t words = 0, groups = 0;
  void add_part(int64_t n) noexcept {
    words += query_words(n);
    groups += n_groups(n);
  }
};

// Where a part of a query goes: its lane, its words from first_word on, its scales from first_group on. largest: its
// codes are at most that, kMaxCode, or kMaxCode8 where it meets keys of 8 bits.
struct LanePart {
  int64_t lane = 0, first_word = 0, first_group = 0;
  int64_t largest = kMaxCode;
};
// Quantises one part of a query and packs it there.
void pack_lane(const Int16Kernel& k, VecView<const float> part, const LanePart& to, QueryTile& query_tile) noexcept;
// Fills a lane that no row uses with zeros.
void clear_lane(const QueryShape& shape, int64_t lane, QueryTile& query_tile) noexcept;

inline constexpr int64_t kTogether = 4;  // groups of values that attend_tile passes to a kernel in one call

// Floats of scratch that a thread needs for attend_tile.
inline constexpr int64_t kTileScratch =
    kMaxQueryTiles * (kTileCells + 2 * kTogether) * kLanes + kKernelScratch / static_cast<int64_t>(sizeof(float));

// Adds the attention of at most kMaxQueryTiles query tiles to one K/V tile. first: it is their first one, which
// initialises the running softmax. In later ones, leading query tiles of which no row sees any cell are skipped, so
// order query tiles by position, earliest first. scratch: kTileScratch floats, 64-byte aligned.
void attend_tile(const Int16Kernel& k, const KvTile& tile, float scale, bool first, std::span<QueryTile> query_tiles,
                 float* scratch) noexcept;

// The running softmax of one row over some of its cells, for results that are merged.
struct PartialSoftmax {
  float shift, sum;
};

// Merges a partial result into another: both are rescaled to the larger shift, then sums and z are added. The order of
// the two matters for the bits: merge partial results in order of position.
void merge_partial(const KernelTable& k, const PartialSoftmax& other, VecView<const float> other_z,
                   PartialSoftmax& partial, VecView<float> z) noexcept;

}  // namespace fathom
