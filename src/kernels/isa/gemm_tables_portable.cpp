#include "kernels/isa/gemm_kernels.h"
#include "kernels/isa/gemm_tables.h"

namespace fathom {

std::span<const CompiledGemm> compiled_gemm() noexcept {
  static constexpr CompiledGemm kKernels[] = {{Isa::ref, nullptr, nullptr, &ref::gemm_f32, &ref::gemm_bf16}};
  return kKernels;
}

}  // namespace fathom
