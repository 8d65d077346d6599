#include "kernels/isa/gemm_kernels.h"
#include "kernels/isa/gemm_tables.h"

namespace fathom {

std::span<const CompiledGemm> compiled_gemm() noexcept {
  static constexpr CompiledGemm kKernels[] = {
      {Isa::ref, nullptr, nullptr, &ref::gemm_f32, &ref::gemm_bf16},
      {Isa::avx2, &CpuFeatures::avx2, nullptr, &avx2::gemm_f32, &avx2::gemm_bf16},
      {Isa::avx512, &CpuFeatures::avx512, nullptr, &avx512::gemm_f32, &avx512::gemm_bf16},
      {Isa::avx512, &CpuFeatures::avx512_bf16, &CpuFeatures::fast_bf16_dot, nullptr, &avx512_bf16::gemm_bf16},
      {Isa::amx, &CpuFeatures::amx, nullptr, nullptr, &amx::gemm_bf16},
  };
  return kKernels;
}

}  // namespace fathom
