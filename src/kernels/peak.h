// What a gemm kernel's multiply instruction can do at most on this machine: what rates are held against.
#pragma once
#include "base/threads.h"
#include "kernels/gemm_kernel.h"

namespace fathom {

// Seconds of the wall's clock, or of CPU time of the calling thread.
double clock_seconds(bool cpu = false) noexcept;

// Operations per second (two for each multiply-add) of all threads together, between registers alone: the best of the
// tries that fit in `seconds`. A machine that others use too gives less. With `cpu` in CPU time of the calling thread:
// for a pool of one. 0 for the reference kernels, whose rate depends on the compiler.
double peak_products(ThreadPool& pool, const GemmKernel& kernel, double seconds, bool cpu = false);

}  // namespace fathom
