// What the attention kinds share: rotation of heads, and the two loops over (tokens, heads, tiles of keys).
#pragma once
#include <functional>

#include "kernels/attention.h"
#include "model/batch.h"
#include "model/config.h"
#include "model/context.h"

namespace fathom {

// Rotates columns [first_col + h * head_stride, ... + 2 * cosines.cols) of every row, for h < n_heads, in place.
void rotate_heads(Context& ctx, RopeLayout layout, MatView<float> x, int64_t first_col, int64_t n_heads,
                  int64_t head_stride, const RotaryRows& rotary);

// The rotation by the opposite angles, which carries gradients back (the amplitude stays: it multiplies forward and
// backward alike).
RotaryRows reversed(Context& ctx, const RotaryRows& rotary);

// Running softmax of the rows of one sequence: states and values start empty, see kernels/attention.h.
struct RunningAttention {
  int64_t heads = 0, heads_per_kv = 0;
  MatView<const float> queries;  // (n, heads * query width)
  MatView<float> values;         // (n, heads * value width), zero at first
  AttentionState* states;        // (n, heads)
};
RunningAttention start_attention(Context& ctx, MatView<const float> queries, int64_t heads, int64_t heads_per_kv,
                                 MatView<float> values);

// The tile with these positions for one key/value head. scratch: tile_scratch floats of the calling thread.
using TileFn = std::function<KeyTile(int64_t first, int64_t n, int64_t kv_head, float* scratch)>;

// Every row against positions [first, first + n), tile_size at a time; row t of the sequence is at position
// first_position + t. Threads split (rows x heads).
void attend(Context& ctx, const RunningAttention& a, int64_t first_position, float scale, int64_t first, int64_t n,
            int64_t tile_size, const TileFn& tile, int64_t tile_scratch);

// Divides by the sums.
void finish(Context& ctx, const RunningAttention& a);

}  // namespace fathom
