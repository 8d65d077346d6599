// What this machine can do at most, measured in the same run as the kernels that are held against it.
#pragma once
#include "base/threads.h"
#include "kernels/kernel_table.h"

namespace fathom::bench {

// Bytes per second that all threads read together from memory: a buffer of `bytes`, larger than the caches; the best of
// several passes.
double peak_bandwidth(ThreadPool& pool, int64_t bytes);

// float operations per second of all threads together: fused multiply-adds (two each) between registers; the best of
// several tries. 0 for Isa::ref, whose flops depend on the compiler.
double peak_flops(ThreadPool& pool, Isa isa);

// kernels_peak_<isa>.cpp
struct PeakLoop {
  float (*run)(int64_t rounds) noexcept;
  double (*flops_of_round)() noexcept;
};
namespace avx2 {
extern const PeakLoop loop;
}
namespace avx512 {
extern const PeakLoop loop;
}

}  // namespace fathom::bench
