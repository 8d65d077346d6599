// The gemm kernels compiled into this build, worst first. Defined once for each kind of machine:
// gemm_tables_x86.cpp, gemm_tables_portable.cpp.
#pragma once
#include <span>

#include "base/cpu.h"
#include "kernels/gemm_kernel.h"
#include "kernels/kernel_table.h"

namespace fathom {

struct CompiledGemm {
  Isa isa;                           // whose table (kernel_table.h) it belongs to
  const bool CpuFeatures::*needs;    // nullptr: runs everywhere
  const bool CpuFeatures::*prefers;  // chosen only when this is so; nullptr: always
  const GemmKernel* f32;             // nullptr: none better than those before
  const GemmKernel* bf16;
};

std::span<const CompiledGemm> compiled_gemm() noexcept;

}  // namespace fathom
