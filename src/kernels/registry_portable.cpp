#include "kernels/isa/isa_tables.h"
#include "kernels/registry.h"

namespace fathom {

std::span<const InstructionSet> instruction_sets() noexcept {
  static constexpr InstructionSet kSets[] = {
      {Isa::ref, "ref", nullptr, nullptr, &ref::table, &ref::gemm_f32, &ref::gemm_bf16, &ref::int16, nullptr}};
  return kSets;
}

}  // namespace fathom
