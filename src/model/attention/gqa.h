// Grouped-query attention (multi-head attention when G == H), forward.
//     q = q_proj x (H heads of d), k = k_proj x, v = v_proj x (G heads of d); q and k are rotated over all of d
//     head i reads key/value head i / (H / G);  o_i = sum_j softmax_j(scale <q_i, k_j>) v_j;  y = o_proj [o_1 ... o_H]
// The cache keeps [k after rotation (G d) | v (G d)]. Source: arXiv:2305.13245; the baselines of arXiv:2405.04434
// (DeepSeek 67B, DeepSeekMoE 16B).
#pragma once
#include "kernels/attention/attention_forward.h"
#include "model/saved.h"
#include "model/step.h"

namespace fathom {

// Allocates what gqa_forward saves of T tokens for the backward pass.
AttentionSaved allocate_gqa_saved(Context& ctx, const ModelConfig& config, int64_t T);

// All heads of queries, keys and values next to each other.
HeadLayout gqa_layout(const ModelConfig& config);

// As mla_forward and mla_backward.
void gqa_forward(const Step& step, int64_t layer, const GqaWeights& w, MatView<const float> x, MatView<float> y,
                 AttentionSaved* saved);
void gqa_backward(const Step& step, const GqaWeights& w, const AttentionSaved& saved, MatView<const float> x,
                  MatView<const float> dy, MatView<float> dx);

}  // namespace fathom
