#include "kernels/attention/attention.h"

#include <algorithm>
#include <cmath>

namespace fathom {
namespace {

int64_t visible_keys(const KeyTile& tile, const QueryBlock& b, int64_t row) {
  return std::clamp<int64_t>(b.position + row * b.step - tile.first_position + 1, 0, tile.key.rows);
}

// scores (n, n_keys) = <query, key>, not yet scaled: the two parts of a key are summed in the same lanes.
void score_tile(const KernelTable& k, const KeyTile& tile, MatView<const float> q, int64_t n_keys,
                MatView<float> scores, float* lanes) {
  const int64_t K = tile.key.cols, S = tile.shared_key.cols;
  for (int64_t j = 0; j < n_keys; j += kKeyPiece) {
    const int64_t n = std::min(kKeyPiece, n_keys - j), stride = n * k.lanes;
    std::fill(lanes, lanes + q.rows * stride, 0.0f);
    k.dot_tile(tile.key.row(j), tile.key.stride, n, q.data, q.stride, q.rows, K, lanes, stride);
    if (S > 0)
      k.dot_tile(tile.shared_key.row(j), tile.shared_key.stride, n, q.data + K, q.stride, q.rows, S, lanes, stride);
    for (int64_t i = 0; i < q.rows; ++i) k.reduce_lanes(lanes + i * stride, n, scores.row(i) + j);
  }
}

// scores become e^(scale * score - max'); the state and the value of the row follow.
void update_state(const KernelTable& k, float scale, float* scores, int64_t n_keys, AttentionState& state,
                  VecView<float> value) {
  k.scale(scale, scores, n_keys);
  const float max = std::max(state.max, k.max_row(scores, n_keys));
  const float keep = std::exp(state.max - max);  // 0 for the first tile
  const float sum = k.exp_row(scores, max, n_keys);
  if (keep != 1.0f) k.scale(keep, value.data, value.size);
  state = {.max = max, .sum = state.sum * keep + sum};
}

}  // namespace

void attend_tile(const KernelTable& k, const KeyTile& tile, const QueryBlock& b, float scale, float* scratch) noexcept {
  const int64_t n = b.queries.rows, n_keys = visible_keys(tile, b, n - 1);  // the last row sees the most
  dcheck(n <= kMaxQueries && tile.key.rows <= KeyTile::kMaxTile, "attention tile sizes");
  if (n_keys == 0) return;
  const MatView<float> scores(scratch, n, n_keys);
  score_tile(k, tile, b.queries, n_keys, scores, scratch + kMaxQueries * KeyTile::kMaxTile);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t visible = visible_keys(tile, b, i);
    if (visible > 0) update_state(k, scale, scores.row(i), visible, b.states[i * b.state_stride], b.values.vec(i));
  }
  // Rows that see the whole tile take it together, the others each as much as they see.
  const MatView<const float> v = tile.value;
  int64_t i = 0;
  for (; i < n && visible_keys(tile, b, i) < n_keys; ++i)
    k.axpy_tile(v.data, v.stride, visible_keys(tile, b, i), scores.row(i), scores.stride, 1, v.cols, b.values.row(i),
                b.values.stride);
  k.axpy_tile(v.data, v.stride, n_keys, scores.row(i), scores.stride, n - i, v.cols, b.values.row(i), b.values.stride);
}

void finish_attention(const KernelTable& k, const AttentionState* states, MatView<float> values) noexcept {
  for (int64_t h = 0; h < values.rows; ++h) k.scale(1.0f / states[h].sum, values.row(h), values.cols);
}

}  // namespace fathom
