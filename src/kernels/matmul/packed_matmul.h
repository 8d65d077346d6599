// Linear layers over packed weights (kernels/packed_weight.h): activations are rounded to 8 bits once for all the
// products that read them, and every product of a step that does not need another's result runs in one section of the
// pool.
//
// Same bits for any number of threads, any neighbours and any cut into tiles: an output depends on its row of
// activations and its row of weights alone. Shapes are checked (check()); throws nothing but std::bad_alloc.
#pragma once
#include <span>
#include <vector>

#include "base/arena.h"
#include "base/machine/threads.h"
#include "kernels/packed_weight.h"

namespace fathom {

// y (n, w.rows) = x w^T, x one tile of activations.
struct PackedMatmul {
  QuantisedRows x;
  const Weight* w = nullptr;
  MatView<float> y;
};
void run_packed_matmuls(ThreadPool& pool, std::span<const PackedMatmul> jobs);

// y = silu(x gate^T) * (x up^T), rounded to 8 bits for the product that follows. gate.rows a multiple of kPackedBlock.
struct GatedMatmul {
  QuantisedRows x;
  const Weight *gate = nullptr, *up = nullptr;
  QuantisedRows y;
};
void run_gated_matmuls(ThreadPool& pool, std::span<const GatedMatmul> jobs);

// Rows of activations in 8 bits, cut into tiles: rows [first, first + n) of all.
struct QuantisedTile {
  QuantisedRows rows;
  int64_t first = 0, group = 0;
};
using QuantisedTiles = std::vector<QuantisedTile>;

// Memory for group g's counts[g] rows, each group in tiles of its own, as equal as they come.
QuantisedTiles plan_tiles(Arena& arena, std::span<const int64_t> counts, int64_t cols);

// Row i of the tiles is x.row(source[i]), or x.row(i) without a source.
void quantise(ThreadPool& pool, MatView<const float> x, std::span<const int32_t> source, const QuantisedTiles& into);

// y (T, w.rows) = x w^T for each of several weights, x (T, K) rounded once. Scratch from the arena.
struct PackedOutput {
  const Weight* w = nullptr;
  MatView<float> y;
};
void packed_linear(ThreadPool& pool, Arena& arena, MatView<const float> x, std::span<const PackedOutput> outputs);

// The same for one weight on the calling thread, inside a section of the pool. Needs x.cols <= kSerialCols; scratch is
// on the stack.
inline constexpr int64_t kSerialCols = 16384;
void packed_linear_serial(MatView<const float> x, const Weight& w, MatView<float> y) noexcept;

}  // namespace fathom
