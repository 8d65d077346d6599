#include "model/moe/router.h"

#include <algorithm>
#include <limits>
#include <vector>

#include "kernels/ref/backward.h"
#include "kernels/rows/softmax.h"
#include "kernels/rows/topk.h"

namespace fathom {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

float group_score(const ModelConfig& c, VecView<const float> group) {
  if (c.topk_method != TopkMethod::noaux_tc) return group[argmax(group)];
  int32_t best[2];
  top_k(group, best);
  return group[best[0]] + group[best[1]];
}

// Sets the scores of experts outside the topk_group best groups to kNever.
void mask_groups(const ModelConfig& c, float* scores) {
  const int64_t per_group = c.n_routed_experts / c.n_group;
  std::vector<float> best(static_cast<size_t>(c.n_group));
  for (int64_t g = 0; g < c.n_group; ++g)
    best[static_cast<size_t>(g)] = group_score(c, {scores + g * per_group, per_group});
  std::vector<int32_t> kept(static_cast<size_t>(c.topk_group));
  top_k({best.data(), c.n_group}, kept);
  for (int64_t g = 0; g < c.n_group; ++g)
    if (std::find(kept.begin(), kept.end(), static_cast<int32_t>(g)) == kept.end())
      std::fill(scores + g * per_group, scores + (g + 1) * per_group, kNever);
}

void route_token(const ModelConfig& c, const float* s, VecView<const float> bias, int32_t* experts, float* gates) {
  const int64_t E = c.n_routed_experts, K = c.num_experts_per_tok;
  std::vector<float> candidates(s, s + E);
  for (int64_t e = 0; e < bias.size; ++e) candidates[static_cast<size_t>(e)] += bias[e];
  if (c.n_group > 1 && c.topk_method != TopkMethod::greedy) mask_groups(c, candidates.data());
  top_k({candidates.data(), E}, {experts, static_cast<size_t>(K)});
  float sum = 0;
  for (int64_t k = 0; k < K; ++k) sum += s[experts[k]];
  const auto factor = static_cast<float>(c.routed_scaling_factor);
  for (int64_t k = 0; k < K; ++k) {
    const float score = c.normalises_gates() ? s[experts[k]] / (sum + 1e-20f) : s[experts[k]];
    gates[k] = factor * score;
  }
}

}  // namespace

void route(ThreadPool& pool, const ModelConfig& config, MatView<float> scores, VecView<const float> bias,
           const Routing& routing) {
  check(scores.cols == config.n_routed_experts && routing.experts.cols == config.num_experts_per_tok, "routing shapes");
  check(bias.size == (config.has_score_bias() ? config.n_routed_experts : 0), "a bias with noaux_tc and only then");
  pool.parallel_for(scores.rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      softmax(scores.vec(t));
      route_token(config, scores.row(t), bias, routing.experts.row(t), routing.gates.row(t));
    }
  });
}

void gates_backward(ThreadPool& pool, const ModelConfig& c, MatView<const float> scores, const Routing& routing,
                    MatView<const float> dgates, MatView<float> dscores) {
  const int64_t K = c.num_experts_per_tok;
  const auto factor = static_cast<float>(c.routed_scaling_factor);
  pool.parallel_for(scores.rows, 64, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const float* s = scores.row(t);
      const int32_t* chosen = routing.experts.row(t);
      float sum = 1e-20f, inner = 0;  // of the chosen scores; of dgates with them
      for (int64_t k = 0; k < K; ++k) {
        sum += s[chosen[k]];
        inner += dgates(t, k) * s[chosen[k]];
      }
      for (int64_t k = 0; k < K; ++k)
        dscores(t, chosen[k]) +=
            c.normalises_gates() ? factor * (dgates(t, k) / sum - inner / (sum * sum)) : factor * dgates(t, k);
    }
  });
}

void scores_to_logits(ThreadPool& pool, MatView<const float> scores, MatView<float> dscores) {
  pool.parallel_for(scores.rows, 64, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t)
      ref::softmax_backward(scores.row(t), dscores.row(t), scores.cols, dscores.row(t));
  });
}

}  // namespace fathom
