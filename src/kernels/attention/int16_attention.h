// Softmax attention in 16-bit integers, tile by tile, for tiles of query rows (kernels/int16_kernel.h): what
// Numerics::quantised runs. Rows of a query tile read the same keys and values: heads of one or several tokens for a
// latent that all heads share, tokens of one head for expanded keys.
//     s_j = scale <q, k_j>,  p_j = e^(s_j - shift),  z += sum_j p_j v_j,  l += sum_j p_j,   o = z / l
//
// What is rounded, and how much it can change a result:
//     q, k, v   codes with a scale for each group of kGroup numbers: |error| <= m / 8190, m the largest magnitude of
//     the
//               group (k and v of a q8 cache: m / 254, when they were stored). With d the largest error of a score of a
//               row, a probability changes by at most a factor e^(2 d).
//     p         of a tile, times the scale of v's group: |error| <= top_prob / (2 * 8191), top_prob the largest
//     probability of
//               the tile times the largest scale among the cells that the row sees.
// All else is float32. A row's bits depend on the row, its visible cells, their tiles and the order of the tiles: not
// on the other rows of its query tile, nor on cells that it does not see.
#pragma once
#include <span>

#include "base/round.h"
#include "kernels/int16_kernel.h"
#include "kernels/kernel_table.h"
#include "tensor/view.h"

namespace fathom {

struct KvTile {
  int64_t n = 0;  // cells, at most kTileCells
  std::span<const CodeGroup> keys, values;
  Prefetch ahead = {};  // of the tile that comes next, if any
};

constexpr int64_t n_groups(int64_t n) noexcept { return (n + kGroup - 1) / kGroup; }
constexpr int64_t n_words(int64_t n) noexcept { return (n + 1) / 2; }  // of a row's part: even groups, one odd end

// Room for a part of a query and for columns of sums: whole steps of the tables that take many at once.
constexpr int64_t query_words(int64_t n) noexcept { return rounded_up(n, 64) / 2; }
constexpr int64_t sum_columns(int64_t n) noexcept { return rounded_up(n, 32); }

// kLanes rows of queries, packed by pack_lane, with their sums so far.
struct QueryTile {
  uint32_t* words = nullptr;   // (query_words of all key parts, kLanes)
  float* scales = nullptr;     // (key groups, kLanes)
  int32_t* visible = nullptr;  // (kLanes): cells of the tile at hand that each row sees
  LaneState* state = nullptr;
  float* z = nullptr;  // (sum_columns of all values, kLanes), for unpack_sums
};

// Bytes of words and scales of a query tile whose keys have parts of these widths (latent and rotated: two parts).
struct QueryShape {
  int64_t words = 0, groups = 0;
  void add_part(int64_t n) noexcept {
    words += query_words(n);
    groups += n_groups(n);
  }
};

// The columns of one part of a query into a lane: words from `first_word`, scales from `first_group`.
void pack_lane(const Int16Kernel& k, VecView<const float> part, int64_t first_word, int64_t first_group, int64_t lane,
               QueryTile& query_tile) noexcept;
// A lane that is no row: zeros.
void clear_lane(const QueryShape& shape, int64_t lane, QueryTile& query_tile) noexcept;

inline constexpr int64_t kTogether = 4;  // groups of values that attend_tile gives to a kernel at once

// Scratch of attend_tile: floats of one thread.
inline constexpr int64_t kTileScratch =
    kMaxQueryTiles * (kTileCells + 2 * kTogether) * kLanes + kKernelScratch / static_cast<int64_t>(sizeof(float));

// Query tiles, at most kMaxQueryTiles, against one tile, the first of their tiles or one more; then those before the
// first that sees some of it are left alone: where later rows see more, put them last. scratch: kTileScratch floats,
// 64-byte aligned.
void attend_tile(const Int16Kernel& k, const KvTile& tile, float scale, bool first, std::span<QueryTile> query_tiles,
                 float* scratch) noexcept;

// A softmax over some of the cells: row by row, unlike a query tile.
struct PartialSoftmax {
  float shift, sum;
};

// (sum, z) += (other_sum, other_z), the two brought to the larger shift; z as long as other_z. Not commutative in its
// bits: partial results are merged in order of position.
void merge_partial(const KernelTable& k, const PartialSoftmax& other, VecView<const float> other_z,
                   PartialSoftmax& partial, VecView<float> z) noexcept;

}  // namespace fathom
