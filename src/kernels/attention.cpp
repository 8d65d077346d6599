#include "kernels/attention.h"

#include <algorithm>
#include <cmath>

namespace fathom {
namespace {

// scores (n heads, tile positions) = <query, key>, not yet scaled. The two parts of a key are one dot product, given in
// two pieces when the first is a whole number of lanes and as two sums otherwise.
void score_tile(const KernelTable& k, const KeyTile& tile, MatView<const float> q, int64_t n_keys,
                MatView<float> scores, float* lanes) {
  const int64_t n = q.rows, stride = n_keys * k.lanes, K = tile.key.cols, S = tile.shared_key.cols;
  std::fill(lanes, lanes + n * stride, 0.0f);
  k.dot_tile(tile.key.data, tile.key.stride, n_keys, q.data, q.stride, n, K, lanes, stride);
  if (S > 0)
    k.dot_tile(tile.shared_key.data, tile.shared_key.stride, n_keys, q.data + K, q.stride, n, S, lanes, stride);
  for (int64_t h = 0; h < n; ++h) k.reduce_lanes(lanes + h * stride, n_keys, scores.row(h));
}

}  // namespace

void attend_tile(const KernelTable& k, const KeyTile& tile, MatView<const float> queries, int64_t position, float scale,
                 AttentionState* states, MatView<float> values, float* scratch) noexcept {
  const int64_t n = queries.rows, n_keys = std::min(tile.key.rows, position - tile.first_position + 1);
  if (n_keys <= 0) return;
  dcheck(n <= kMaxHeads && tile.key.rows <= KeyTile::kMaxTile, "attention tile sizes");
  const MatView<float> scores(scratch, n, n_keys);
  score_tile(k, tile, queries, n_keys, scores, scratch + kMaxHeads * KeyTile::kMaxTile);
  for (int64_t h = 0; h < n; ++h) {
    float* s = scores.row(h);
    k.scale(scale, s, n_keys);
    AttentionState& state = states[h];
    const float max = std::max(state.max, k.max_row(s, n_keys));
    const float keep = std::exp(state.max - max);  // 0 for the first tile
    const float sum = k.exp_row(s, max, n_keys);
    if (keep != 1.0f) k.scale(keep, values.row(h), values.cols);
    state = {.max = max, .sum = state.sum * keep + sum};
  }
  k.axpy_tile(tile.value.data, tile.value.stride, n_keys, scores.data, scores.stride, n, values.cols, values.data,
              values.stride);
}

void finish_attention(const KernelTable& k, const AttentionState* states, MatView<float> values) noexcept {
  for (int64_t h = 0; h < values.rows; ++h) k.scale(1.0f / states[h].sum, values.row(h), values.cols);
}

}  // namespace fathom
