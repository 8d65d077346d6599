// Every instruction set that this build has kernels for: one row each, worst first. This is the one list of them;
// dispatch.h chooses from it. Defined once for each kind of machine: registry_x86.cpp, registry_portable.cpp.
#pragma once
#include <span>
#include <string_view>

#include "base/machine/cpu.h"
#include "kernels/bf16_kernel.h"
#include "kernels/gemm_kernel.h"
#include "kernels/int16_kernel.h"
#include "kernels/kernel_table.h"

namespace fathom {

// Kernels that are nullptr are none better than those of the rows before.
struct InstructionSet {
  Isa isa;
  std::string_view name;             // what FATHOM_ISA takes
  const bool CpuFeatures::*needs;    // nullptr: runs everywhere
  const bool CpuFeatures::*prefers;  // chosen only where this is so; nullptr: wherever it runs
  const KernelTable* table;
  const GemmKernel *gemm_f32, *gemm_bf16;
  const Int16Kernel* int16;
  const Bf16Kernel* bf16;
};

std::span<const InstructionSet> instruction_sets() noexcept;

}  // namespace fathom
