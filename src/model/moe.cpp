// Letters (src/model/config.h): T tokens, D hidden_size, E n_routed_experts, K num_experts_per_tok, F
// moe_intermediate_size.
#include "model/moe.h"

#include <algorithm>
#include <vector>

#include "kernels/dispatch.h"
#include "kernels/matmul.h"
#include "model/mlp.h"
#include "model/router.h"

namespace fathom {
namespace {

// The (token, choice) pairs of a batch sorted by expert; within one expert by token.
struct Dispatch {
  std::vector<int64_t> offsets;  // (E + 1): pairs of expert e are rows [offsets[e], offsets[e + 1])
  std::vector<int32_t> token;    // (T K): row -> token
  std::vector<int32_t> row;      // (T K): token * K + choice -> row
};

Dispatch sort_by_expert(const Routing& routing, int64_t n_experts) {
  const int64_t T = routing.experts.rows, K = routing.experts.cols;
  Dispatch d{std::vector<int64_t>(static_cast<size_t>(n_experts) + 1), std::vector<int32_t>(static_cast<size_t>(T * K)),
             std::vector<int32_t>(static_cast<size_t>(T * K))};
  for (int64_t t = 0; t < T; ++t)
    for (int64_t k = 0; k < K; ++k) ++d.offsets[static_cast<size_t>(routing.experts(t, k)) + 1];
  for (size_t e = 1; e < d.offsets.size(); ++e) d.offsets[e] += d.offsets[e - 1];
  std::vector<int64_t> next(d.offsets.begin(), d.offsets.end() - 1);
  for (int64_t t = 0; t < T; ++t) {
    for (int64_t k = 0; k < K; ++k) {
      const int64_t r = next[static_cast<size_t>(routing.experts(t, k))]++;
      d.token[static_cast<size_t>(r)] = static_cast<int32_t>(t);
      d.row[static_cast<size_t>(t * K + k)] = static_cast<int32_t>(r);
    }
  }
  return d;
}

Routing route_tokens(Context& ctx, const ModelConfig& c, const MoeWeights& w, MatView<const float> x) {
  const int64_t T = x.rows, E = c.n_routed_experts, K = c.num_experts_per_tok;
  const Routing routing{{ctx.arena.take<int32_t>(T * K), T, K}, {ctx.arena.take<float>(T * K), T, K}};
  Arena::Scope scope(ctx.arena);
  auto scores = scratch(ctx, T, E);
  matmul(ctx.pool, x, w.gate, scores);  // float32 whatever ctx keeps
  route(ctx.pool, c, scores, routing);
  return routing;
}

enum class Part { gate, up, down };

void grouped(Context& ctx, const MoeWeights& w, Part part, const Dispatch& d, MatView<const float> x,
             MatView<float> y) {
  std::vector<Weight> weights;
  weights.reserve(w.experts.size());
  for (const MlpWeights& e : w.experts)
    weights.push_back(part == Part::gate ? e.gate_proj : part == Part::up ? e.up_proj : e.down_proj);
  grouped_matmul(ctx.pool, x, d.offsets, weights, y);
  round_activations(ctx, y);
}

}  // namespace

void moe_forward(Context& ctx, const ModelConfig& c, const MoeWeights& w, MatView<const float> x, MatView<float> y) {
  const int64_t T = x.rows, D = c.hidden_size, K = c.num_experts_per_tok, F = c.moe_intermediate_size;
  const KernelTable& k = kernels();
  Arena::Scope scope(ctx.arena);
  const Routing routing = route_tokens(ctx, c, w, x);
  const Dispatch d = sort_by_expert(routing, c.n_routed_experts);

  auto gathered = scratch(ctx, T * K, D), gate = scratch(ctx, T * K, F), up = scratch(ctx, T * K, F),
       out = scratch(ctx, T * K, D);
  ctx.pool.parallel_for(T * K, 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r) std::copy_n(x.row(d.token[static_cast<size_t>(r)]), D, gathered.row(r));
  });
  grouped(ctx, w, Part::gate, d, gathered, gate);
  grouped(ctx, w, Part::up, d, gathered, up);
  gated_activation(ctx, gate, up, gate);
  grouped(ctx, w, Part::down, d, gate, out);

  auto shared = scratch(ctx, c.n_shared_experts > 0 ? T : 0, D);
  if (c.n_shared_experts > 0) mlp_forward(ctx, w.shared_experts, x, shared);
  ctx.pool.parallel_for(T, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      std::fill(y.row(t), y.row(t) + D, 0.0f);
      for (int64_t i = 0; i < K; ++i)
        k.axpy_f32(routing.gates(t, i), out.row(d.row[static_cast<size_t>(t * K + i)]), y.row(t), D);
      if (c.n_shared_experts > 0) k.axpy_f32(1.0f, shared.row(t), y.row(t), D);
    }
  });
  round_activations(ctx, y);
}

}  // namespace fathom
