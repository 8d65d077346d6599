// What the multiply instructions of kernels can do at most on this machine: what rates are held against.
#pragma once
#include <functional>

#include "base/machine/threads.h"
#include "kernels/gemm_kernel.h"

namespace fathom {

// Seconds of the wall's clock, or of CPU time of the calling thread.
double clock_seconds(bool cpu = false) noexcept;

// Operations per second (two for each multiply-add) of all threads together, between registers alone: the best of the
// tries that fit in `seconds`, each of `rounds` rounds of `run`, which returns its operations. A machine that others
// use too gives less. With `cpu` in CPU time of the calling thread: for a pool of one.
double peak_rate(ThreadPool& pool, int64_t rounds, double seconds, const std::function<double(int64_t)>& run,
                 bool cpu = false);

// Of a gemm kernel. 0 for the reference kernels, whose rate depends on the compiler.
double peak_products(ThreadPool& pool, const GemmKernel& kernel, double seconds, bool cpu = false);

// Of products of bytes (8-bit weights or activations) in the table of this process: KernelTable::byte_peak. 0 where it
// does not know.
double peak_byte_products(ThreadPool& pool, double seconds);

}  // namespace fathom
