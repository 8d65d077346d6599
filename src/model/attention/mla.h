// Multi-head latent attention, forward.
//     c_q = rmsnorm(q_a_proj x), q = q_b_proj c_q     (or q = q_proj x)      q_i = [q_n,i (N) | q_r,i (R)], i = 1 .. H
//     [c | k_r] = kv_a_proj_with_mqa x,  c_kv = rmsnorm(c)                   q_r and k_r are rotated, pairs interleaved
//     [k_n,i | v_i] = rows of head i of kv_b_proj c_kv
//     s_tj,i = scale (<q_n,i, k_n,j,i> + <q_r,i, k_r,j>),  o_i = sum_j softmax_j(s) v_j,i,  y = o_proj [o_1; ...; o_H]
// The cache keeps [c_kv | k_r] (C + R numbers), so keys and values of past tokens come from it in one of two ways:
//     naive     expand k_n and v of past tokens by kv_b_proj, a tile of positions at a time
//     absorbed  fold: q~_i = W_UK,i^T q_n,i (C numbers), s = scale (<q~_i, c_kv,j> + <q_r,i, k_r,j>), z_i = sum p c_kv,
//     o_i = W_UV,i z_i
// The two are equal but for rounding. With P tokens in the cache and S new ones, in multiply-adds per head:
//     naive C (N + V) (P + S) + (N + R + V) S (P + S/2),   absorbed C (N + V) S + (2 C + R) S (P + S/2)
// Source: arXiv:2405.04434 section 2.1, equations 37 to 47, and its appendix C; the latent norms are in section 3.1.2.
#pragma once
#include "kernels/attention/attention_forward.h"
#include "model/saved.h"
#include "model/step.h"

namespace fathom {

// The form that costs fewer multiply-adds.
MlaForm cheaper_mla_form(const ModelConfig& config, StepSize size);

// The forms that mla_forward takes over a cache in a step of this size, one bit for layers whose kv_b_proj is packed
// and one for the others, so that equal numbers mean equal forms everywhere. 0 without latent attention.
uint64_t mla_forms(const Network& network, Numerics numerics, StepSize size) noexcept;

// Keys k_n (n, H N) and values (n, H V) of n latents (their first C columns). With kv_b_proj whole both are columns of
// one product.
struct ExpandedLatents {
  MatView<float> key, value;
  HeadLayout layout;
};
ExpandedLatents expand_latents(Context& ctx, const ModelConfig& config, const MlaWeights& w,
                               MatView<const float> latents);

// Allocates what mla_forward saves of T tokens for the backward pass.
AttentionSaved allocate_mla_saved(Context& ctx, const ModelConfig& config, int64_t T);

// x (T, D) normed input of the layer, read; y (T, D) written. With a cache, the rows of the batch's tokens are stored
// in it and past tokens are read from it. Without one (training), every sequence is whole and attends to itself, in the
// naive form. saved: from allocate_mla_saved, or nullptr.
void mla_forward(const Step& step, int64_t layer, const MlaWeights& w, MatView<const float> x, MatView<float> y,
                 AttentionSaved* saved);

// The gradient of mla_forward without a cache: dx (T, D) written, gradients of weights added to. kv_b_proj must be
// whole.
void mla_backward(const Step& step, const MlaWeights& w, const AttentionSaved& saved, MatView<const float> x,
                  MatView<const float> dy, MatView<float> dx);

}  // namespace fathom
