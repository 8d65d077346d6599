// Grouped-query attention (multi-head attention when G == H), forward.
//     q = q_proj x (H heads of d), k = k_proj x, v = v_proj x (G heads of d); q and k are rotated over all of d
//     head i reads key/value head i / (H / G);  o_i = sum_j softmax_j(scale <q_i, k_j>) v_j;  y = o_proj [o_1; ...;
//     o_H]
// The cache keeps [k after rotation (G d) | v (G d)]. Source: arXiv:2305.13245; the baselines of arXiv:2405.04434
// (DeepSeek 67B, DeepSeekMoE 16B).
#pragma once
#include "model/mla.h"

namespace fathom {

// Room for what gqa_forward saves of T tokens.
AttentionSaved plan_gqa(Context& ctx, const ModelConfig& config, int64_t T);

// As mla_forward and mla_backward.
void gqa_forward(Context& ctx, const ModelConfig& config, const AttentionSettings& settings, const GqaWeights& w,
                 int64_t layer, const Batch& batch, const RotaryRows& rotary, KvCache* cache, MatView<const float> x,
                 MatView<float> y, AttentionSaved* saved);
void gqa_backward(Context& ctx, const ModelConfig& config, const AttentionSettings& settings, const GqaWeights& w,
                  const Batch& batch, const RotaryRows& rotary, const AttentionSaved& saved, MatView<const float> x,
                  MatView<const float> dy, MatView<float> dx, const Gradients& gradients);

}  // namespace fathom
