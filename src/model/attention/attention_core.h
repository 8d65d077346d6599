// What the attention kinds share: rotation of heads, and the two loops over (tokens, heads, tiles of keys).
#pragma once
#include <functional>

#include "config/config.h"
#include "kernels/attention/attention.h"
#include "model/batch.h"
#include "model/context.h"

namespace fathom {

// The columns that are rotated: those from first + h * stride on, for h < heads.
struct RotaryColumns {
  int64_t first, heads, stride;
};
// Rotates 2 * cosines.cols columns of each head of every row, in place.
void rotate_heads(Context& ctx, RopeLayout layout, MatView<float> x, const RotaryColumns& columns,
                  const RotaryRows& rotary);

// The rotation by the opposite angles, which carries gradients back (the amplitude stays: it multiplies forward and
// backward alike).
RotaryRows reversed(Context& ctx, const RotaryRows& rotary);

// Heads of the rows of one sequence, row t of which is at position first_position + t.
struct QueryHeads {
  int64_t heads, heads_per_kv;
  float scale;  // of the scores
  int64_t first_position;
};
// Running softmax of those rows: states and values start empty, see kernels/attention/attention.h.
struct RunningAttention {
  QueryHeads query;
  MatView<const float> queries;  // (n, heads * query width)
  MatView<float> values;         // (n, heads * value width), zero at first
  AttentionState* states;        // (n, heads)
};
RunningAttention start_attention(Context& ctx, const QueryHeads& query, MatView<const float> queries,
                                 MatView<float> values);

// The tile with these positions for one key/value head. scratch: tile_scratch floats of the calling thread.
using TileFn = std::function<KeyTile(int64_t first, int64_t n, int64_t kv_head, float* scratch)>;

// Every row against positions [first, first + n), tile_size at a time. Threads split (rows x heads).
struct KeyRange {
  int64_t first, n, tile_size;
};
void attend(Context& ctx, const RunningAttention& a, const KeyRange& keys, const TileFn& tile, int64_t tile_scratch);

// Divides by the sums.
void finish(Context& ctx, const RunningAttention& a);

}  // namespace fathom
