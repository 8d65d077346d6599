// Matmuls with packed weights (kernels/packed_weight.h). Activations are rounded, to 8 bits or to bfloat16, or kept in
// float32, as the weight wants them (RowForm), once for all matmuls that read them, and all matmuls of a step that need
// none of each other's results run in one parallel section.
//
// The bits are the same for any number of threads, any neighbours and any cut into tiles: an output depends on its row
// of activations and its row of weights alone. Shapes are checked (check()); throws nothing but std::bad_alloc.
#pragma once
#include <span>
#include <vector>

#include "base/arena.h"
#include "base/machine/threads.h"
#include "kernels/packed_weight.h"

namespace fathom {

// y (n, w.rows) = x w^T for one tile of activations x, which has the form that w wants.
struct PackedMatmul {
  QuantisedRows x;
  const Weight* w = nullptr;
  MatView<float> y;
};
void run_packed_matmuls(ThreadPool& pool, std::span<const PackedMatmul> jobs);

// y = silu(x gate^T) * (x up^T), rounded to the form that y has for the matmul that reads it. gate and up want one
// form; gate.rows a multiple of kPackedBlock.
struct GatedMatmul {
  QuantisedRows x;
  const Weight *gate = nullptr, *up = nullptr;
  QuantisedRows y;
};
void run_gated_matmuls(ThreadPool& pool, std::span<const GatedMatmul> jobs);

// One tile of rounded activations: rows [first, first + n) of all, which belong to one group.
struct QuantisedTile {
  QuantisedRows rows;
  int64_t first = 0, group = 0;
};
using QuantisedTiles = std::vector<QuantisedTile>;

// Allocates tiles of that form for counts[g] rows of each group g. A tile has rows of one group; the tiles of a group
// are of nearly equal size.
QuantisedTiles plan_tiles(Arena& arena, std::span<const int64_t> counts, int64_t cols, RowForm form);

// Rounds rows of x into the tiles: row i of the tiles is x.row(source[i]), or x.row(i) where `source` is empty.
void quantise(ThreadPool& pool, MatView<const float> x, std::span<const int32_t> source, const QuantisedTiles& into);

// y (T, w.rows) = x w^T for each of several weights, which want one form: x (T, K) is rounded once. Scratch from the
// arena.
struct PackedOutput {
  const Weight* w = nullptr;
  MatView<float> y;
};
void packed_linear(ThreadPool& pool, Arena& arena, MatView<const float> x, std::span<const PackedOutput> outputs);

// The same for one weight, on the calling thread, to be used inside a parallel section. Needs x.cols <= kSerialCols;
// its scratch is on the stack.
inline constexpr int64_t kSerialCols = 16384;
void packed_linear_serial(MatView<const float> x, const Weight& w, MatView<float> y) noexcept;

}  // namespace fathom
