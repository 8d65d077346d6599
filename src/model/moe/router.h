// The router of a mixture-of-experts layer: which experts a token uses, and with what weight.
//     s = softmax over all E experts of (W_g u), in float32
//     greedy:               the K largest s
//     group_limited_greedy: experts [j E/n_group, (j+1) E/n_group) form group j, whose score is the largest s in it;
//                           the K largest s among the experts of the topk_group best groups (device-limited routing,
//                           arXiv:2405.04434 section 2.2.2)
//     noaux_tc:             the K largest s + b, b a bias per expert; with more than one group, the score of a group
//                           is the sum of its two largest s + b. b has no gradient: training moves it against the
//                           load (train/score_bias.h). Source: arXiv:2408.15664, arXiv:2412.19437 section 2.1.2; the
//                           published code of DeepSeek-V3, there with sigmoid scores.
//     gate = routed_scaling_factor * s, or with norm_topk_prob and K > 1
//            routed_scaling_factor * s / (sum of the chosen s + 1e-20)
// The gate never contains b. Ties go to the lower index, among experts and among groups. A NaN is never chosen before a
// number, and never leads out of range.
#pragma once
#include <cstdint>

#include "base/machine/threads.h"
#include "config/config.h"
#include "tensor/view.h"
#include "tensor/weight.h"

namespace fathom {

struct Routing {
  MatView<int32_t> experts;  // (T, K), by falling score (noaux_tc: by falling s + b)
  MatView<float> gates;      // (T, K)
};

// scores (T, E): W_g u on entry, the softmax s on return. bias (E) for noaux_tc, else empty. routing is written. Tokens
// are independent.
void route(ThreadPool& pool, const ModelConfig& config, MatView<float> scores, VecView<const float> bias,
           const Routing& routing);

// The gradient of one token's gates, chosen experts held fixed, with respect to its softmax scores: dscores (T, E) +=
// d(gates)/d(s)^T dgates. Then, with scores_to_logits, through the softmax: dlogits[t] = s (dscores - <dscores, s>), in
// the place of dscores.
void gates_backward(ThreadPool& pool, const ModelConfig& config, MatView<const float> scores, const Routing& routing,
                    MatView<const float> dgates, MatView<float> dscores);
void scores_to_logits(ThreadPool& pool, MatView<const float> scores, MatView<float> dscores);

}  // namespace fathom
