#include "kernels/softmax.h"

#include "kernels/dispatch.h"

namespace fathom {

void softmax_rows(ThreadPool& pool, MatView<float> x) noexcept {
  const KernelTable& k = kernels();
  pool.parallel_for(x.rows, 1, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) k.softmax_row(x.row(t), x.cols);
  });
}

float softmax(VecView<float> x) noexcept {
  check(x.size >= 1, "softmax of at least one number");
  return kernels().softmax_row(x.data, x.size);
}

}  // namespace fathom
