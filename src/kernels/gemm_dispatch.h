// Which gemm kernel runs (gemm_kernel.h): the best of the instruction set that dispatch.h chose. FATHOM_ISA=avx512
// takes AVX512_BF16 where it is faster than an fma with rounded floats.
#pragma once
#include <optional>
#include <string_view>
#include <vector>

#include "base/cpu.h"
#include "kernels/gemm_kernel.h"
#include "kernels/products.h"

namespace fathom {

// The kernel of this process, chosen at the first call (by any thread) and never again. Throws as kernels() does.
const GemmKernel& gemm_kernel(Products products);

// The rule behind it: `forced` is the value of FATHOM_ISA; nullopt or empty when it is not set.
const GemmKernel& choose_gemm_kernel(Products products, std::optional<std::string_view> forced, const CpuFeatures& cpu);

// Every kernel that this machine can run, ref first. For tests and benchmarks.
std::vector<const GemmKernel*> runnable_gemm_kernels(Products products);

}  // namespace fathom
