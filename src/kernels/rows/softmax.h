// Softmax, in place.
//     x[i] = exp(x[i] - max x) / sum over j of exp(x[j] - max x)
#pragma once
#include "tensor/view.h"

namespace fathom {

// x (N), N >= 1, at least one finite number and no +infinity; -infinity becomes 0. A NaN makes all of it NaN. The sum
// is float32. Returns the sum before the division: log-sum-exp is log(sum) + max x.
float softmax(VecView<float> x) noexcept;

}  // namespace fathom
