// The driver of the large matrix products: blocks of depth, packing, and output tiles shared out over threads. What is
// promised about the results is in linear.h; how the inner part works, in gemm_kernel.h.
#pragma once
#include <span>

#include "base/threads.h"
#include "kernels/gemm_kernel.h"
#include "kernels/weight_rows.h"

namespace fathom {

// c (m, n) = a (m, k) b (k, n), or += when `add`.
struct GemmProblem {
  int64_t m = 0, n = 0, k = 0;
  const float* a = nullptr;  // element (i, k) = a[i * a_stride + k], or a[k * a_stride + i] when transposed
  int64_t a_stride = 0;
  bool a_transposed = false;
  WeightRows b;  // (k, n), or (n, k) when transposed; not read when packed_b is given
  bool b_transposed = false;
  const uint32_t* packed_b = nullptr;  // what gemm_pack_b made
  float* c = nullptr;
  int64_t c_stride = 0;
  bool add = false;
};

// All problems; on the calling thread alone when pool is nullptr. Scratch: linear.h.
void gemm(ThreadPool* pool, const GemmKernel& kernel, std::span<const GemmProblem> problems) noexcept;

// b of one shape for many products: words of the packed form, and packing into it (64-byte aligned).
int64_t gemm_packed_words(const GemmKernel& kernel, int64_t k, int64_t n) noexcept;
void gemm_pack_b(ThreadPool* pool, const GemmKernel& kernel, const WeightRows& b, bool b_transposed,
                 uint32_t* packed) noexcept;

}  // namespace fathom
