#include "kernels/isa/isa_tables.h"
#include "kernels/registry.h"

namespace fathom {

std::span<const InstructionSet> instruction_sets() noexcept {
  using F = CpuFeatures;
  static constexpr InstructionSet kSets[] = {
      {Isa::ref, "ref", nullptr, nullptr, &ref::table, &ref::gemm_f32, &ref::gemm_bf16, &ref::int16, nullptr},
      {Isa::avx2, "avx2", &F::avx2, nullptr, &avx2::table, &avx2::gemm_f32, &avx2::gemm_bf16, &avx2::int16, nullptr},
      {Isa::avx512, "avx512", &F::avx512, nullptr, &avx512::table, &avx512::gemm_f32, &avx512::gemm_bf16, nullptr,
       nullptr},
      {Isa::avx512, "avx512", &F::avx512_bf16, &F::fast_bf16_dot, nullptr, nullptr, &avx512_bf16::gemm_bf16, nullptr,
       &avx512_bf16::bf16},
      {Isa::avx512_vnni, "avx512_vnni", &F::avx512_vnni, nullptr, &avx512_vnni::table, nullptr, nullptr,
       &avx512_vnni::int16, nullptr},
      {Isa::amx, "amx", &F::amx, nullptr, &amx::table, nullptr, &amx::gemm_bf16, &amx::int16, nullptr},
  };
  return kSets;
}

}  // namespace fathom
