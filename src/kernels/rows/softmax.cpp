#include "kernels/rows/softmax.h"

#include "kernels/dispatch.h"

namespace fathom {

float softmax(VecView<float> x) noexcept {
  check(x.size >= 1, "softmax of at least one number");
  return kernels().softmax_row(x.data, x.size);
}

}  // namespace fathom
