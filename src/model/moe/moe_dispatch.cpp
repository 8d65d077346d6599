#include "model/moe/moe_dispatch.h"

#include <algorithm>

#include "kernels/dispatch.h"

namespace fathom {

Dispatch sort_by_expert(const Routing& routing, int64_t n_experts, std::span<const uint8_t> kept) {
  const int64_t T = routing.experts.rows, K = routing.experts.cols;
  const auto computed = [&](int64_t t, int64_t k) { return kept.empty() || kept[static_cast<size_t>(t * K + k)] != 0; };
  Dispatch d{std::vector<int64_t>(static_cast<size_t>(n_experts) + 1),
             {},
             std::vector<int32_t>(static_cast<size_t>(T * K), -1)};
  for (int64_t t = 0; t < T; ++t)
    for (int64_t k = 0; k < K; ++k)
      if (computed(t, k)) ++d.offsets[static_cast<size_t>(routing.experts(t, k)) + 1];
  for (size_t e = 1; e < d.offsets.size(); ++e) d.offsets[e] += d.offsets[e - 1];
  d.token.resize(static_cast<size_t>(d.offsets.back()));
  std::vector<int64_t> next(d.offsets.begin(), d.offsets.end() - 1);
  for (int64_t t = 0; t < T; ++t) {
    for (int64_t k = 0; k < K; ++k) {
      if (!computed(t, k)) continue;
      const int64_t r = next[static_cast<size_t>(routing.experts(t, k))]++;
      d.token[static_cast<size_t>(r)] = static_cast<int32_t>(t);
      d.row[static_cast<size_t>(t * K + k)] = static_cast<int32_t>(r);
    }
  }
  return d;
}

void gather_rows(Context& ctx, const Dispatch& dispatch, MatView<const float> x, MatView<float> rows) {
  ctx.pool.parallel_for(rows.rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      std::copy_n(x.row(dispatch.token[static_cast<size_t>(r)]), x.cols, rows.row(r));
  });
}

void scatter_add_rows(Context& ctx, const Dispatch& dispatch, MatView<const float> rows, MatView<float> y) {
  const KernelTable& k = kernels();
  const int64_t K = y.rows > 0 ? std::ssize(dispatch.row) / y.rows : 0;
  ctx.pool.parallel_for(y.rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t)
      for (int64_t i = 0; i < K; ++i)
        if (const int32_t r = dispatch.row[static_cast<size_t>(t * K + i)]; r >= 0)
          k.axpy_f32(1.0f, rows.row(r), y.row(t), y.cols);
  });
}

std::vector<Weight> expert_weights(const MoeWeights& w, ExpertPart part) {
  std::vector<Weight> weights;
  weights.reserve(w.experts.size());
  for (const MlpWeights& e : w.experts)
    weights.push_back(part == ExpertPart::gate ? e.gate_proj : part == ExpertPart::up ? e.up_proj : e.down_proj);
  return weights;
}

}  // namespace fathom
