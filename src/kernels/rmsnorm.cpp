#include "kernels/rmsnorm.h"

#include "kernels/dispatch.h"

namespace fathom {

void rmsnorm_forward(ThreadPool& pool, MatView<const float> x, VecView<const float> weight, float eps, MatView<float> y,
                     VecView<float> rstd) noexcept {
  check(x.rows == y.rows && x.cols == y.cols && weight.size == x.cols, "rmsnorm: x and y (T, D), weight (D)");
  check(rstd.empty() || rstd.size == x.rows, "rmsnorm: rstd (T)");
  const KernelTable& k = kernels();
  pool.parallel_for(x.rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) {
      const float r = k.rmsnorm_row(x.row(t), weight.data, eps, x.cols, y.row(t));
      if (!rstd.empty()) rstd[t] = r;
    }
  });
}

}  // namespace fathom
