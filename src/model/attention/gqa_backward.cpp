// Letters (src/config/config.h): T rows of the batch, H heads, G key/value heads, d head_dim. The forward list of
// gqa_forward.cpp, reversed.
#include "kernels/attention/attention_backward.h"
#include "model/attention/attention_core.h"
#include "model/attention/gqa.h"

namespace fathom {

void gqa_backward(const Step& step, const GqaWeights& w, const AttentionSaved& saved, MatView<const float> x,
                  MatView<const float> dy, MatView<float> dx) {
  Context& ctx = step.ctx;
  const ModelConfig& c = step.config();
  const int64_t T = x.rows, H = c.num_attention_heads, G = c.num_key_value_heads, d = c.head_dim;
  Arena::Scope scope(ctx.arena);
  auto d_o = scratch(ctx, T, H * d), dq = scratch(ctx, T, H * d), dkv = scratch(ctx, T, 2 * G * d);
  linear_backward(ctx, saved.o, w.o_proj, dy, into(d_o));
  std::vector<AttentionGradient> sequences;
  for (const BatchSequence& s : step.batch.sequences) {
    const auto rows = [&s](auto m) { return m.sub_rows(s.first_row, s.n); };
    sequences.push_back({.layout = gqa_layout(c),
                         .scale = step.network.attention.scale,
                         .q = rows(saved.q),
                         .o = rows(saved.o),
                         .d_o = rows(d_o),
                         .key = rows(saved.key_value.sub_cols(0, G * d)),
                         .shared_key = {},
                         .value = rows(saved.key_value.sub_cols(G * d, G * d)),
                         .states = saved.states + s.first_row * H,
                         .dq = rows(dq),
                         .dkey = rows(dkv.sub_cols(0, G * d)),
                         .dvalue = rows(dkv.sub_cols(G * d, G * d)),
                         .dshared = {}});
  }
  attention_backward(ctx.pool, ctx.arena, ctx.numerics.matmul_precision(), sequences);
  const RotaryRows back = reversed(ctx, step.rotary);
  rotate_heads(ctx, c.rope_layout, dq, {0, H, d}, back);
  rotate_heads(ctx, c.rope_layout, dkv, {0, G, d}, back);
  linear_backward(ctx, x, w.q_proj, dq, into(dx));
  linear_backward(ctx, x, w.k_proj, dkv.sub_cols(0, G * d), added_to(dx));
  linear_backward(ctx, x, w.v_proj, dkv.sub_cols(G * d, G * d), added_to(dx));
}

}  // namespace fathom
