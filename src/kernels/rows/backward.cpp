#include "kernels/rows/backward.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/dispatch.h"

namespace fathom {
namespace {

// What rmsnorm_backward needs of a row: rstd, and rstd^2 * mean(dy * weight * x).
struct RowSums {
  float rstd, pull;
};

RowSums norm_row_sums(const KernelTable& k, const float* x, const float* weight, float eps, const float* dy, int64_t n,
                      float* product) {
  for (int64_t i = 0; i < n; ++i) product[i] = dy[i] * weight[i];
  const float squares = k.dot_f32(x, x, n), inner = k.dot_f32(product, x, n);
  const float rstd = 1.0f / std::sqrt(squares / static_cast<float>(n) + eps);
  return {rstd, rstd * rstd * (inner / static_cast<float>(n))};
}

}  // namespace

void rmsnorm_backward(ThreadPool& pool, MatView<const float> x, VecView<const float> weight, float eps,
                      MatView<const float> dy, const InputGradient& out, VecView<float> dweight) noexcept {
  check(x.cols == weight.size && dy.rows == x.rows && dy.cols == x.cols && out.dx.rows == x.rows &&
            out.dx.cols == x.cols && (dweight.empty() || dweight.size == weight.size),
        "rmsnorm_backward: x, dy, dx (T, D), weight, dweight (D)");
  const KernelTable& k = kernels();
  std::vector<RowSums> sums(static_cast<size_t>(x.rows));
  pool.parallel_for(x.rows, 1, [&](int64_t begin, int64_t end) {
    std::vector<float> product(static_cast<size_t>(x.cols));
    for (int64_t t = begin; t < end; ++t)
      sums[static_cast<size_t>(t)] = norm_row_sums(k, x.row(t), weight.data, eps, dy.row(t), x.cols, product.data());
  });
  // Before dx, which may be dy. Columns are split, so each sum runs over the rows in order.
  pool.parallel_for(dweight.size, 16, [&](int64_t begin, int64_t end) {
    for (int64_t t = 0; t < x.rows; ++t) {
      const float rstd = sums[static_cast<size_t>(t)].rstd;
      for (int64_t i = begin; i < end; ++i) dweight[i] += dy(t, i) * (x(t, i) * rstd);
    }
  });
  pool.parallel_for(x.rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const RowSums s = sums[static_cast<size_t>(t)];
      const float *xr = x.row(t), *dyr = dy.row(t);
      float* dxr = out.dx.row(t);
      if (out.add)
        for (int64_t i = 0; i < x.cols; ++i) dxr[i] += s.rstd * (dyr[i] * weight[i] - xr[i] * s.pull);
      else
        for (int64_t i = 0; i < x.cols; ++i) dxr[i] = s.rstd * (dyr[i] * weight[i] - xr[i] * s.pull);
    }
  });
}

void swiglu_backward(ThreadPool& pool, MatView<const float> gate, MatView<const float> up, MatView<const float> dy,
                     MatView<float> dgate, MatView<float> dup) noexcept {
  check(gate.rows == up.rows && gate.cols == up.cols && dy.rows == gate.rows && dy.cols == gate.cols,
        "swiglu_backward: all (T, F)");
  const KernelTable& k = kernels();
  pool.parallel_for(gate.rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t)
      k.swiglu_backward_row(gate.row(t), up.row(t), dy.row(t), gate.cols, dgate.row(t), dup.row(t));
  });
}

void cross_entropy_backward(ThreadPool& pool, MatView<float> logits, std::span<const int32_t> targets,
                            std::span<const float> weights, float scale, std::span<double> losses) noexcept {
  check(std::ssize(targets) == logits.rows && losses.size() == targets.size() &&
            (weights.empty() || weights.size() == targets.size()),
        "cross_entropy_backward: one target, one loss and one weight (or none) a row");
  const KernelTable& k = kernels();
  pool.parallel_for(logits.rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      float* row = logits.row(t);
      const int64_t target = targets[static_cast<size_t>(t)];
      double& loss = losses[static_cast<size_t>(t)];
      loss = 0;
      if (target < 0) {
        std::fill(row, row + logits.cols, 0.0f);
        continue;
      }
      const float at_target = row[target], largest = k.max_row(row, logits.cols);
      const float sum = k.softmax_row(row, logits.cols);
      loss = static_cast<double>(largest) + std::log(static_cast<double>(sum)) - at_target;
      const float slope = weights.empty() ? scale : scale * weights[static_cast<size_t>(t)];
      k.scale(slope, row, logits.cols);
      row[target] -= slope;
    }
  });
}

void embedding_backward(ThreadPool& pool, std::span<const int32_t> ids, MatView<const float> dy,
                        MatView<float> dtable) noexcept {
  check(std::ssize(ids) == dy.rows && dtable.cols == dy.cols, "embedding_backward: dy (T, D), dtable (V, D)");
  pool.parallel_for(dy.cols, 16, [&](int64_t begin, int64_t end) {
    for (int64_t t = 0; t < dy.rows; ++t) {
      float* out = dtable.row(ids[static_cast<size_t>(t)]);
      const float* in = dy.row(t);
      for (int64_t i = begin; i < end; ++i) out[i] += in[i];
    }
  });
}

}  // namespace fathom
