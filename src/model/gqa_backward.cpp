// Letters (src/model/config.h): T rows of the batch, H heads, G key/value heads, d head_dim. The forward list of
// gqa_forward.cpp, reversed.
#include "kernels/attention_backward.h"
#include "model/attention_core.h"
#include "model/gqa.h"

namespace fathom {

void gqa_backward(Context& ctx, const ModelConfig& c, const AttentionSettings& settings, const GqaWeights& w,
                  const Batch& batch, const RotaryRows& rotary, const AttentionSaved& saved, MatView<const float> x,
                  MatView<const float> dy, MatView<float> dx, const Gradients& gradients) {
  const int64_t T = x.rows, H = c.num_attention_heads, G = c.num_key_value_heads, d = c.head_dim;
  Arena::Scope scope(ctx.arena);
  auto d_o = scratch(ctx, T, H * d), dq = scratch(ctx, T, H * d), dkv = scratch(ctx, T, 2 * G * d);
  linear_dweight(ctx.pool, ctx.products, dy, saved.o, gradients.of(w.o_proj));
  linear_dinput(ctx.pool, ctx.products, dy, w.o_proj, d_o, false);
  std::vector<AttentionGradient> sequences;
  for (const BatchSequence& s : batch.sequences) {
    const auto rows = [&s](auto m) { return m.sub_rows(s.first_row, s.n); };
    sequences.push_back({.heads = H,
                         .heads_per_kv = H / G,
                         .scale = settings.scale,
                         .q = rows(saved.q),
                         .o = rows(saved.o),
                         .d_o = rows(d_o),
                         .key = rows(saved.key_value.sub_cols(0, G * d)),
                         .shared_key = {},
                         .value = rows(saved.key_value.sub_cols(G * d, G * d)),
                         .key_dim = d,
                         .key_stride = d,
                         .value_dim = d,
                         .value_stride = d,
                         .states = saved.states + s.first_row * H,
                         .dq = rows(dq),
                         .dkey = rows(dkv.sub_cols(0, G * d)),
                         .dvalue = rows(dkv.sub_cols(G * d, G * d)),
                         .dshared = {}});
  }
  attention_backward(ctx.pool, ctx.arena, ctx.products, sequences);
  const RotaryRows back = reversed(ctx, rotary);
  rotate_heads(ctx, c.rope_layout, dq, 0, H, d, back);
  rotate_heads(ctx, c.rope_layout, dkv, 0, G, d, back);
  linear_dweight(ctx.pool, ctx.products, dq, x, gradients.of(w.q_proj));
  linear_dinput(ctx.pool, ctx.products, dq, w.q_proj, dx, false);
  for (const auto& [proj, first] :
       {std::pair<const Weight&, int64_t>{w.k_proj, 0}, std::pair<const Weight&, int64_t>{w.v_proj, G * d}}) {
    const MatView<float> dpart = dkv.sub_cols(first, G * d);
    linear_dweight(ctx.pool, ctx.products, dpart, x, gradients.of(proj));
    linear_dinput(ctx.pool, ctx.products, dpart, proj, dx, true);
  }
}

}  // namespace fathom
