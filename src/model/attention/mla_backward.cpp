// Letters (src/config/config.h): T rows of the batch, H heads, D hidden_size, Q q_lora_rank, C kv_lora_rank, N
// qk_nope_head_dim, R qk_rope_head_dim, V v_head_dim. The forward list of mla_forward.cpp, reversed. Derivation:
// docs/derivations/mla.md.
#include "kernels/attention/attention_backward.h"
#include "model/attention/attention_core.h"
#include "model/attention/mla.h"
#include "model/norm.h"

namespace fathom {
namespace {

// From dq (T, H (N + R)), rotated back, the gradients of the query's projections; dx written.
void query_backward(const Step& step, const MlaWeights& w, const AttentionSaved& saved, MatView<const float> x,
                    MatView<const float> dq, MatView<float> dx) {
  Context& ctx = step.ctx;
  const ModelConfig& c = step.config();
  if (!c.q_lora_rank) return linear_backward(ctx, x, w.q_proj, dq, into(dx));
  auto normed = scratch(ctx, x.rows, *c.q_lora_rank), dlatent = scratch(ctx, x.rows, *c.q_lora_rank);
  norm_forward(ctx, w.q_a_layernorm, c.rms_norm_eps, saved.q_latent, normed);
  linear_backward(ctx, normed, w.q_b_proj, dq, into(dlatent));
  norm_backward(ctx, w.q_a_layernorm, c.rms_norm_eps, saved.q_latent, dlatent, into(dlatent));
  linear_backward(ctx, x, w.q_a_proj, dlatent, into(dx));
}

// dlatent's last R columns = the sum over heads, in head order, of their parts of the gradient of the shared key.
void sum_heads(Context& ctx, MatView<const float> dshared, int64_t heads, MatView<float> dk_r) {
  const int64_t R = dk_r.cols;
  ctx.pool.parallel_for(dk_r.rows, 16, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      std::fill(dk_r.row(t), dk_r.row(t) + R, 0.0f);
      for (int64_t h = 0; h < heads; ++h)
        for (int64_t i = 0; i < R; ++i) dk_r(t, i) += dshared(t, h * R + i);
    }
  });
}

// Attention alone: dq, dkv (T, H (N + V)) with the columns of kv_b_proj's rows, and dshared (T, H R), each head's part
// of the gradient of the shared key; written.
struct AttentionGradients {
  MatView<float> dq, dkv, dshared;
};
void attend_backward(const Step& step, const ExpandedLatents& e, const AttentionSaved& saved, MatView<const float> d_o,
                     const AttentionGradients& out) {
  const ModelConfig& c = step.config();
  const int64_t H = c.num_attention_heads, N = c.qk_nope_head_dim, R = c.qk_rope_head_dim, C = c.kv_lora_rank;
  std::vector<AttentionGradient> sequences;
  for (const BatchSequence& s : step.batch.sequences) {
    const auto rows = [&s](auto m) { return m.sub_rows(s.first_row, s.n); };
    sequences.push_back({.layout = e.layout,
                         .scale = step.network.attention.scale,
                         .q = rows(saved.q),
                         .o = rows(saved.o),
                         .d_o = rows(d_o),
                         .key = rows(e.key),
                         .shared_key = rows(saved.latent.sub_cols(C, R)),
                         .value = rows(e.value),
                         .states = saved.states + s.first_row * H,
                         .dq = rows(out.dq),
                         .dkey = rows(out.dkv),
                         .dvalue = rows(out.dkv.sub_cols(N, out.dkv.cols - N)),
                         .dshared = rows(out.dshared)});
  }
  attention_backward(step.ctx.pool, step.ctx.arena, step.ctx.numerics.matmul_precision(), sequences);
}

}  // namespace

void mla_backward(const Step& step, const MlaWeights& w, const AttentionSaved& saved, MatView<const float> x,
                  MatView<const float> dy, MatView<float> dx) {
  Context& ctx = step.ctx;
  const ModelConfig& c = step.config();
  const int64_t T = x.rows, H = c.num_attention_heads, N = c.qk_nope_head_dim, R = c.qk_rope_head_dim, V = c.v_head_dim,
                C = c.kv_lora_rank;
  check(static_cast<bool>(w.kv_b_proj), "training needs kv_b_proj whole");
  Arena::Scope scope(ctx.arena);
  auto d_o = scratch(ctx, T, H * V), c_kv = scratch(ctx, T, C), dlatent = scratch(ctx, T, C + R);
  linear_backward(ctx, saved.o, w.o_proj, dy, into(d_o));
  norm_forward(ctx, w.kv_a_layernorm, c.rms_norm_eps, saved.latent.sub_cols(0, C), c_kv);
  const AttentionGradients d{scratch(ctx, T, H * (N + R)), scratch(ctx, T, H * (N + V)), scratch(ctx, T, H * R)};
  attend_backward(step, expand_latents(ctx, c, w, c_kv), saved, d_o, d);
  sum_heads(ctx, d.dshared, H, dlatent.sub_cols(C, R));
  linear_backward(ctx, c_kv, w.kv_b_proj, d.dkv, into(dlatent.sub_cols(0, C)));
  norm_backward(ctx, w.kv_a_layernorm, c.rms_norm_eps, saved.latent.sub_cols(0, C), dlatent.sub_cols(0, C),
                into(dlatent.sub_cols(0, C)));

  const RotaryRows back = reversed(ctx, step.rotary);
  rotate_heads(ctx, c.rope_layout, d.dq, {N, H, N + R}, back);
  rotate_heads(ctx, c.rope_layout, dlatent, {C, 1, C + R}, back);
  query_backward(step, w, saved, x, d.dq, dx);
  linear_backward(ctx, x, w.kv_a_proj_with_mqa, dlatent, added_to(dx));
}

}  // namespace fathom
