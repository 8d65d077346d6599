#include "kernels/rows/swiglu.h"

#include <algorithm>

#include "kernels/dispatch.h"

namespace fathom {

void swiglu_forward(ThreadPool& pool, MatView<const float> gate, MatView<const float> up, MatView<float> y) noexcept {
  check(gate.rows == y.rows && gate.cols == y.cols && up.rows == y.rows && up.cols == y.cols, "swiglu: all (T, F)");
  if (y.empty()) return;
  const KernelTable& k = kernels();
  constexpr int64_t kColumns = 2048;  // a microsecond or more: worth a thread
  const int64_t pieces = (y.cols + kColumns - 1) / kColumns;
  pool.parallel_for(y.rows * pieces, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t t = i / pieces, first = i % pieces * kColumns;
      k.swiglu_row(gate.row(t) + first, up.row(t) + first, std::min(kColumns, y.cols - first), y.row(t) + first);
    }
  });
}

}  // namespace fathom
