// The driver of the large matrix products: blocks of depth, packing, and output tiles shared out over threads. What is
// promised about the results is in training_matmul.h; how the inner part works, in gemm_kernel.h.
#pragma once
#include <span>

#include "base/machine/threads.h"
#include "kernels/gemm_kernel.h"
#include "kernels/matmul/weight_rows.h"
#include "tensor/any_rows.h"

namespace fathom {

// c (m, n) = a (m, k) b (k, n), or += when `add`.
struct GemmProblem {
  int64_t m = 0, n = 0, k = 0;
  AnyRows a;  // (m, k), or (k, m) when transposed
  bool a_transposed = false;
  WeightRows b;  // (k, n), or (n, k) when transposed
  bool b_transposed = false;
  float* c = nullptr;
  int64_t c_stride = 0;
  bool add = false;
};

// All problems; on the calling thread alone when pool is nullptr. Scratch: training_matmul.h. Throws std::bad_alloc.
void gemm(ThreadPool* pool, const GemmKernel& kernel, std::span<const GemmProblem> problems);

}  // namespace fathom
