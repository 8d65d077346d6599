// The kernels of each instruction set, each defined in a file of its own that is compiled for that set. Which of them a
// build has: registry.h. (A file that is compiled for an instruction set includes this and nothing of base/.)
#pragma once
#include "kernels/bf16_kernel.h"
#include "kernels/gemm_kernel.h"
#include "kernels/int16_kernel.h"
#include "kernels/kernel_table.h"

namespace fathom {

namespace ref {
extern const KernelTable table;
extern const GemmKernel gemm_f32, gemm_bf16;
extern const Int16Kernel int16;
}  // namespace ref
namespace avx2 {
extern const KernelTable table;
extern const GemmKernel gemm_f32, gemm_bf16;
extern const Int16Kernel int16;
}  // namespace avx2
namespace avx512 {
extern const KernelTable table;
extern const GemmKernel gemm_f32, gemm_bf16;  // bf16: rounded floats, for CPUs without AVX512_BF16
}  // namespace avx512
namespace avx512_bf16 {
extern const GemmKernel gemm_bf16;
extern const Bf16Kernel bf16;
}  // namespace avx512_bf16
namespace avx512_vnni {
extern const KernelTable table;
extern const Int16Kernel int16;
}  // namespace avx512_vnni
namespace amx {
extern const KernelTable table;
extern const GemmKernel gemm_bf16;
extern const Int16Kernel int16;
}  // namespace amx

}  // namespace fathom
