// Letters (src/model/config.h): T rows of the batch, H heads, D hidden_size, Q q_lora_rank, C kv_lora_rank, N
// qk_nope_head_dim, R qk_rope_head_dim, V v_head_dim. The forward list of mla_forward.cpp, reversed. Derivation:
// docs/derivations/mla.md.
#include "kernels/attention_backward.h"
#include "model/attention_core.h"
#include "model/mla.h"
#include "model/norm.h"

namespace fathom {
namespace {

// dq (T, H (N + R)), still rotated, and from it the gradients of the query's projections; dx written.
void query_backward(Context& ctx, const ModelConfig& c, const MlaWeights& w, const AttentionSaved& saved,
                    MatView<const float> x, MatView<const float> dq, MatView<float> dx, const Gradients& gradients) {
  if (!c.q_lora_rank) {
    linear_dweight(ctx.pool, ctx.products, dq, x, gradients.of(w.q_proj));
    linear_dinput(ctx.pool, ctx.products, dq, w.q_proj, dx, false);
    return;
  }
  auto normed = scratch(ctx, x.rows, *c.q_lora_rank), dlatent = scratch(ctx, x.rows, *c.q_lora_rank);
  norm_forward(ctx, w.q_a_layernorm, c.rms_norm_eps, saved.q_latent, normed);
  linear_dweight(ctx.pool, ctx.products, dq, normed, gradients.of(w.q_b_proj));
  linear_dinput(ctx.pool, ctx.products, dq, w.q_b_proj, dlatent, false);
  norm_backward(ctx, w.q_a_layernorm, c.rms_norm_eps, saved.q_latent, dlatent, dlatent, false, gradients);
  linear_dweight(ctx.pool, ctx.products, dlatent, x, gradients.of(w.q_a_proj));
  linear_dinput(ctx.pool, ctx.products, dlatent, w.q_a_proj, dx, false);
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

}  // namespace

void mla_backward(Context& ctx, const ModelConfig& c, const AttentionSettings& settings, const MlaWeights& w,
                  const Batch& batch, const RotaryRows& rotary, const AttentionSaved& saved, MatView<const float> x,
                  MatView<const float> dy, MatView<float> dx, const Gradients& gradients) {
  const int64_t T = x.rows, H = c.num_attention_heads, N = c.qk_nope_head_dim, R = c.qk_rope_head_dim, V = c.v_head_dim,
                C = c.kv_lora_rank;
  check(static_cast<bool>(w.kv_b_proj), "training needs kv_b_proj whole");
  Arena::Scope scope(ctx.arena);
  auto d_o = scratch(ctx, T, H * V);
  linear_dweight(ctx.pool, ctx.products, dy, saved.o, gradients.of(w.o_proj));
  linear_dinput(ctx.pool, ctx.products, dy, w.o_proj, d_o, false);

  auto c_kv = scratch(ctx, T, C);
  norm_forward(ctx, w.kv_a_layernorm, c.rms_norm_eps, saved.latent.sub_cols(0, C), c_kv);
  const ExpandedLatents e = expand_latents(ctx, c, w, c_kv);
  auto dq = scratch(ctx, T, H * (N + R)), du = scratch(ctx, T, H * (N + V)), dshared = scratch(ctx, T, H * R);
  std::vector<AttentionGradient> sequences;
  for (const BatchSequence& s : batch.sequences) {
    const auto rows = [&s](auto m) { return m.sub_rows(s.first_row, s.n); };
    sequences.push_back({.heads = H,
                         .heads_per_kv = 1,
                         .scale = settings.scale,
                         .q = rows(saved.q),
                         .o = rows(saved.o),
                         .d_o = rows(d_o),
                         .key = rows(e.key),
                         .shared_key = rows(saved.latent.sub_cols(C, R)),
                         .value = rows(e.value),
                         .key_dim = N,
                         .key_stride = e.key_stride,
                         .value_dim = V,
                         .value_stride = e.value_stride,
                         .states = saved.states + s.first_row * H,
                         .dq = rows(dq),
                         .dkey = rows(du),
                         .dvalue = rows(du.sub_cols(N, du.cols - N)),
                         .dshared = rows(dshared)});
  }
  attention_backward(ctx.pool, ctx.arena, ctx.products, sequences);
  auto dlatent = scratch(ctx, T, C + R);
  sum_heads(ctx, dshared, H, dlatent.sub_cols(C, R));
  linear_dweight(ctx.pool, ctx.products, du, c_kv, gradients.of(w.kv_b_proj));
  linear_dinput(ctx.pool, ctx.products, du, w.kv_b_proj, dlatent.sub_cols(0, C), false);
  norm_backward(ctx, w.kv_a_layernorm, c.rms_norm_eps, saved.latent.sub_cols(0, C), dlatent.sub_cols(0, C),
                dlatent.sub_cols(0, C), false, gradients);

  const RotaryRows back = reversed(ctx, rotary);
  rotate_heads(ctx, c.rope_layout, dq, N, H, N + R, back);
  rotate_heads(ctx, c.rope_layout, dlatent, C, 1, C + R, back);
  query_backward(ctx, c, w, saved, x, dq, dx, gradients);
  linear_dweight(ctx.pool, ctx.products, dlatent, x, gradients.of(w.kv_a_proj_with_mqa));
  linear_dinput(ctx.pool, ctx.products, dlatent, w.kv_a_proj_with_mqa, dx, true);
}

}  // namespace fathom
