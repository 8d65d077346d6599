// The gemm kernels of each instruction set. Those of x86-64 exist in builds for it alone: gemm_tables.h.
#pragma once
#include "kernels/gemm_kernel.h"

namespace fathom {

namespace ref {
extern const GemmKernel gemm_f32, gemm_bf16;
}
namespace avx2 {
extern const GemmKernel gemm_f32, gemm_bf16;
}
namespace avx512 {
extern const GemmKernel gemm_f32, gemm_bf16;  // bf16: rounded floats, for CPUs without AVX512_BF16
}
namespace avx512_bf16 {
extern const GemmKernel gemm_bf16;
}
namespace amx {
extern const GemmKernel gemm_bf16;
}

}  // namespace fathom
