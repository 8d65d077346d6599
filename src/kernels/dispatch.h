// Which kernels run: those of the best instruction set that this CPU can, or of the one that FATHOM_ISA forces. Chosen
// from the rows of registry.h.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/machine/cpu.h"
#include "kernels/bf16_kernel.h"
#include "kernels/gemm_kernel.h"
#include "kernels/int16_kernel.h"
#include "kernels/kernel_table.h"
#include "kernels/matmul_precision.h"
#include "tensor/dtype.h"

namespace fathom {

std::string_view name(Isa isa) noexcept;  // what FATHOM_ISA takes; empty: this build has no such kernels

// This CPU, without AMX when the system refuses it to this process.
const CpuFeatures& usable_cpu() noexcept;

// The table of this process, chosen at the first call (by any thread) and never again.
// Throws Error: bad_input when FATHOM_ISA is none of the names of this build, unsupported when this machine cannot run
// it. A program calls it once where it can report that; the ops (noexcept) ask again and get the answer that was
// chosen.
const KernelTable& kernels();
// The GEMM micro-kernels of this process, likewise: the best of that instruction set and those below it. (avx512 takes
// AVX512_BF16 where it is faster than an fma with rounded floats.)
const GemmKernel& gemm_kernel(MatmulPrecision precision);
// And the int16 kernel of attention.
const Int16Kernel& int16_kernel();
// And that of packed weights of bfloat16. nullptr: this CPU multiplies them no faster than float32.
const Bf16Kernel* bf16_kernel();

// The names of this build's tables, worst first: what FATHOM_ISA takes.
std::string isa_names(std::string_view separator);

// What a table decodes that type with: its own kernel, or the plain one where it has none.
DecodeFn decoder(const KernelTable& k, DType dtype) noexcept;

// nullptr when this build has no such table or this machine cannot run it.
const KernelTable* kernels_for(Isa isa) noexcept;

// All that this machine can run, ref first. For tests and benchmarks.
std::span<const KernelTable* const> runnable_kernels();
std::vector<const GemmKernel*> runnable_gemm_kernels(MatmulPrecision precision);
std::vector<const Int16Kernel*> runnable_int16_kernels();
std::vector<const Bf16Kernel*> runnable_bf16_kernels();

// The rules behind kernels() and gemm_kernel(): `forced` is the value of FATHOM_ISA, nullopt or empty when it is not
// set.
const KernelTable& choose_kernels(std::optional<std::string_view> forced, const CpuFeatures& cpu);
const GemmKernel& choose_gemm_kernel(MatmulPrecision precision, std::optional<std::string_view> forced,
                                     const CpuFeatures& cpu);

}  // namespace fathom
