// Root-mean-square normalisation of each row.
//     y[t] = x[t] * rstd[t] * weight,    rstd[t] = 1 / sqrt(mean(x[t]^2) + eps)
// Source: arXiv:1910.07467, eq. 4.
#pragma once
#include "base/machine/threads.h"
#include "tensor/view.h"

namespace fathom {

// x       (T, D)   read; may be y itself
// weight  (D)      read
// eps              dimensionless, rms_norm_eps of the config (1e-6)
// y       (T, D)   written
//
// Rows are independent: the result does not depend on the number of threads. The mean is summed in float32.
// Bound by memory. Shapes are checked; throws nothing.
void rmsnorm_forward(ThreadPool& pool, MatView<const float> x, VecView<const float> weight, float eps,
                     MatView<float> y) noexcept;

}  // namespace fathom
