#include "model/moe/moe_dispatch.h"

#include <algorithm>

#include "kernels/dispatch.h"
#include "model/moe/mlp.h"

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

namespace {

template <class T>
void gather(Context& ctx, const Dispatch& dispatch, MatView<const T> x, MatView<T> rows) {
  ctx.pool.parallel_for(rows.rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t r = begin; r < end; ++r)
      std::copy_n(x.row(dispatch.token[static_cast<size_t>(r)]), x.cols, rows.row(r));
  });
}

}  // namespace

void gather_rows(Context& ctx, const Dispatch& dispatch, MatView<const float> x, MatView<float> rows) {
  gather(ctx, dispatch, x, rows);
}

AnyRows gathered_rows(Context& ctx, const Dispatch& dispatch, const AnyRows& x) {
  const int64_t n = dispatch.offsets.back();
  if (x.is_bf16()) {
    const MatView<uint16_t> rows = bf16_scratch(ctx, n, x.cols());
    gather<uint16_t>(ctx, dispatch, {x.bf16(0, 0), x.rows(), x.cols(), x.stride()}, rows);
    return rows;
  }
  const MatView<float> rows = scratch(ctx, n, x.cols());
  gather<float>(ctx, dispatch, {x.f32(0, 0), x.rows(), x.cols(), x.stride()}, rows);
  return rows;
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
  for (const MlpWeights& e : w.experts) {
    switch (part) {
      case ExpertPart::gate:
        weights.push_back(e.gate_proj);
        break;
      case ExpertPart::up:
        weights.push_back(e.up_proj);
        break;
      case ExpertPart::down:
        weights.push_back(e.down_proj);
        break;
      case ExpertPart::gate_and_up:
        weights.push_back(gate_and_up(e));
        break;
    }
    if (!weights.back()) return {};
  }
  return weights;
}

}  // namespace fathom
