// What a gemm kernel's multiply instruction can do at most, measured in the same run.
#pragma once
#include "base/threads.h"
#include "kernels/gemm_kernel.h"

namespace fathom::bench {

// Operations per second (two for each multiply-add) of all threads together, between registers alone; the best of the
// tries that fit in `seconds`. With `cpu` in CPU time of the calling thread: for a pool of one.
double peak_products(ThreadPool& pool, const GemmKernel& kernel, double seconds, bool cpu);

// Seconds of the wall's clock, or of CPU time of the calling thread.
double now(bool cpu);

// linear_peak_<isa>.cpp: `rounds` times some independent instructions; returns the operations of all.
namespace avx2 {
double fma_products(int64_t rounds) noexcept;
}
namespace avx512 {
double fma_products(int64_t rounds) noexcept;
}
namespace avx512_bf16 {
double dot_products(int64_t rounds) noexcept;
}
namespace amx {
double tile_products(int64_t rounds) noexcept;
}

}  // namespace fathom::bench
