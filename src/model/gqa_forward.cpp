// Letters (src/model/config.h): T rows of the batch, H heads, G key/value heads, d head_dim.
#include "kernels/matmul.h"
#include "model/attention_core.h"
#include "model/gqa.h"

namespace fathom {
namespace {

// Stores [k | v] of every row of the batch, keys rotated.
void store_keys_and_values(Context& ctx, const ModelConfig& c, const GqaWeights& w, int64_t layer, const Batch& batch,
                           const RotaryRows& rotary, KvCache& cache, MatView<const float> x) {
  const int64_t G = c.num_key_value_heads, d = c.head_dim;
  auto kv = scratch(ctx, x.rows, 2 * G * d);
  matmul(ctx.pool, x, w.k_proj, kv.sub_cols(0, G * d));
  matmul(ctx.pool, x, w.v_proj, kv.sub_cols(G * d, G * d));
  round_activations(ctx, kv);
  rotate_heads(ctx, c.rope_layout, kv, 0, G, d, rotary);
  round_activations(ctx, kv);
  for (const BatchSequence& s : batch.sequences)
    for (int64_t i = 0; i < s.n; ++i) cache.store(*s.cache, layer, s.first_position + i, kv.vec(s.first_row + i));
}

}  // namespace

void gqa_forward(Context& ctx, const ModelConfig& c, const AttentionSettings& settings, const GqaWeights& w,
                 int64_t layer, const Batch& batch, const RotaryRows& rotary, KvCache& cache, MatView<const float> x,
                 MatView<float> y) {
  const int64_t H = c.num_attention_heads, G = c.num_key_value_heads, d = c.head_dim;
  Arena::Scope scope(ctx.arena);
  auto q = scratch(ctx, x.rows, H * d), o = scratch(ctx, x.rows, H * d);
  matmul(ctx.pool, x, w.q_proj, q);
  round_activations(ctx, q);
  rotate_heads(ctx, c.rope_layout, q, 0, H, d, rotary);
  round_activations(ctx, q);
  store_keys_and_values(ctx, c, w, layer, batch, rotary, cache, x);
  for (const BatchSequence& s : batch.sequences) {
    Arena::Scope sequence_scope(ctx.arena);
    const RunningAttention a =
        start_attention(ctx, q.sub_rows(s.first_row, s.n), H, H / G, o.sub_rows(s.first_row, s.n));
    const auto tile = [&](int64_t first, int64_t n, int64_t kv_head, float* tile_scratch) {
      const MatView<const float> rows = cache.rows(*s.cache, layer, first, n, tile_scratch);
      return KeyTile{.first_position = first,
                     .key = rows.sub_cols(kv_head * d, d),
                     .shared_key = {},
                     .value = rows.sub_cols((G + kv_head) * d, d)};
    };
    attend(ctx, a, s.first_position, settings.scale, 0, s.first_position + s.n, kBlockTokens, tile,
           kBlockTokens * 2 * G * d);
    finish(ctx, a);
  }
  round_activations(ctx, o);
  matmul(ctx.pool, o, w.o_proj, y);
  round_activations(ctx, y);
}

}  // namespace fathom
