// Letters (src/config/config.h): T rows of the batch, H heads, G key/value heads, d head_dim.
#include "base/trace.h"
#include "kernels/attention/attention_forward.h"
#include "model/attention/attention_core.h"
#include "model/attention/gqa.h"

namespace fathom {
namespace {

// [k | v] of every row, keys rotated: what a cache keeps.
MatView<float> project_keys_and_values(const Step& step, const GqaWeights& w, MatView<const float> x,
                                       AttentionSaved* saved) {
  Context& ctx = step.ctx;
  const ModelConfig& c = step.config();
  const int64_t G = c.num_key_value_heads, d = c.head_dim;
  auto kv = saved != nullptr ? saved->key_value : scratch(ctx, x.rows, 2 * G * d);
  linear(ctx, x, w.k_proj, kv.sub_cols(0, G * d));
  linear(ctx, x, w.v_proj, kv.sub_cols(G * d, G * d));
  round_activations(ctx, kv);
  rotate_heads(ctx, c.rope_layout, kv, {0, G, d}, step.rotary);
  round_activations(ctx, kv);
  return kv;
}

KeyTile tile_of(MatView<const float> rows, int64_t first, int64_t kv_head, int64_t G, int64_t d) {
  return {.first_position = first,
          .key = rows.sub_cols(kv_head * d, d),
          .shared_key = {},
          .value = rows.sub_cols((G + kv_head) * d, d)};
}

// Every sequence of the batch against itself, without a cache (training).
void attend_in_batch(const Step& step, MatView<const float> q, MatView<const float> kv, MatView<float> o,
                     AttentionState* states) {
  const ModelConfig& c = step.config();
  const int64_t H = c.num_attention_heads, G = c.num_key_value_heads, d = c.head_dim;
  std::vector<AttentionForward> sequences;
  for (const BatchSequence& s : step.batch.sequences)
    sequences.push_back({.layout = gqa_layout(c),
                         .scale = step.network.attention.scale,
                         .q = q.sub_rows(s.first_row, s.n),
                         .key = kv.sub_cols(0, G * d).sub_rows(s.first_row, s.n),
                         .shared_key = {},
                         .value = kv.sub_cols(G * d, G * d).sub_rows(s.first_row, s.n),
                         .o = o.sub_rows(s.first_row, s.n),
                         .states = states + s.first_row * H});
  attention_forward(step.ctx.pool, step.ctx.arena, step.ctx.numerics.matmul_precision(), sequences);
}

// One sequence over the cache, which its rows [k | v] are stored in first.
void attend_cached(const Step& step, int64_t layer, const BatchSequence& s, MatView<const float> q,
                   MatView<const float> kv, MatView<float> o) {
  Context& ctx = step.ctx;
  KvCache& cache = *step.cache;
  const ModelConfig& c = step.config();
  const int64_t H = c.num_attention_heads, G = c.num_key_value_heads, d = c.head_dim;
  Arena::Scope scope(ctx.arena);
  const RunningAttention a = start_attention(ctx, {H, H / G, step.network.attention.scale, s.first_position}, q, o);
  for (int64_t i = 0; i < s.n; ++i) cache.store(*s.cache, layer, s.first_position + i, kv.vec(i));
  const auto tile = [&](int64_t first, int64_t n, int64_t kv_head, float* tile_scratch) {
    return tile_of(cache.rows(*s.cache, layer, first, n, tile_scratch), first, kv_head, G, d);
  };
  attend(ctx, a, {0, s.first_position + s.n, kBlockTokens}, tile, kBlockTokens * 2 * G * d);
  finish(ctx, a);
}

}  // namespace

AttentionSaved allocate_gqa_saved(Context& ctx, const ModelConfig& c, int64_t T) {
  AttentionSaved s;
  s.q = scratch(ctx, T, c.num_attention_heads * c.head_dim);
  s.key_value = scratch(ctx, T, 2 * c.num_key_value_heads * c.head_dim);
  s.o = scratch(ctx, T, c.num_attention_heads * c.head_dim);
  s.states = ctx.arena.take<AttentionState>(T * c.num_attention_heads);
  return s;
}

HeadLayout gqa_layout(const ModelConfig& c) {
  return {c.num_attention_heads,
          c.num_attention_heads / c.num_key_value_heads,
          c.head_dim,
          c.head_dim,
          c.head_dim,
          c.head_dim};
}

void gqa_forward(const Step& step, int64_t layer, const GqaWeights& w, MatView<const float> x, MatView<float> y,
                 AttentionSaved* saved) {
  const Zone zone("attention");
  Context& ctx = step.ctx;
  const ModelConfig& c = step.config();
  const int64_t H = c.num_attention_heads, d = c.head_dim;
  Arena::Scope scope(ctx.arena);
  auto q = saved != nullptr ? saved->q : scratch(ctx, x.rows, H * d),
       o = saved != nullptr ? saved->o : scratch(ctx, x.rows, H * d);
  linear(ctx, x, w.q_proj, q);
  round_activations(ctx, q);
  rotate_heads(ctx, c.rope_layout, q, {0, H, d}, step.rotary);
  round_activations(ctx, q);
  auto kv = project_keys_and_values(step, w, x, saved);
  if (step.cache == nullptr) {
    AttentionState* states = saved != nullptr ? saved->states : ctx.arena.take<AttentionState>(x.rows * H);
    attend_in_batch(step, q, kv, o, states);
  } else {
    for (const BatchSequence& s : step.batch.sequences)
      attend_cached(step, layer, s, q.sub_rows(s.first_row, s.n), kv.sub_rows(s.first_row, s.n),
                    o.sub_rows(s.first_row, s.n));
  }
  round_activations(ctx, o);
  linear(ctx, o, w.o_proj, y);
  round_activations(ctx, y);
}

}  // namespace fathom
