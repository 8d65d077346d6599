#include "kernels/rows/rmsnorm.h"

#include "kernels/dispatch.h"

namespace fathom {

void rmsnorm_forward(ThreadPool& pool, MatView<const float> x, VecView<const float> weight, float eps,
                     MatView<float> y) noexcept {
  check(x.rows == y.rows && x.cols == y.cols && weight.size == x.cols, "rmsnorm: x and y (T, D), weight (D)");
  const KernelTable& k = kernels();
  pool.parallel_for(x.rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) k.rmsnorm_row(x.row(t), weight.data, eps, x.cols, y.row(t));
  });
}

}  // namespace fathom
