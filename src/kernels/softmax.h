// Softmax of each row, in place.
//     x[t][i] = exp(x[t][i] - max x[t]) / sum over j of exp(x[t][j] - max x[t])
#pragma once
#include "base/threads.h"
#include "tensor/view.h"

namespace fathom {

// x (T, N), N >= 1, at least one finite number in each row and no +infinity; -infinity becomes 0. A NaN makes its row
// NaN. Rows are independent: the result does not depend on the number of threads. The sum is float32.
void softmax_rows(ThreadPool& pool, MatView<float> x) noexcept;

// One row on the calling thread. Returns the sum before the division: log-sum-exp is log(sum) + max x.
float softmax(VecView<float> x) noexcept;

}  // namespace fathom
