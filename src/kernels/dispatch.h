// Which kernel table runs: the best that this CPU can, or the one that FATHOM_ISA=ref|avx2|avx512|avx512_vnni|amx
// forces.
#pragma once
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/cpu.h"
#include "kernels/kernel_table.h"

namespace fathom {

std::string_view name(Isa isa) noexcept;  // "ref", "avx2", ...: what FATHOM_ISA takes

// This CPU, without AMX when the system refuses it to this process.
const CpuFeatures& usable_cpu() noexcept;

// The table of this process, chosen at the first call (by any thread) and never again.
// Throws Error: bad_input when FATHOM_ISA is not a name, unsupported when this machine or build cannot run it. A
// program calls it once where it can report that; the ops (noexcept) ask again and get the answer that was chosen.
const KernelTable& kernels();

// nullptr when this build has no such table or this machine cannot run it.
const KernelTable* kernels_for(Isa isa) noexcept;

// Every table that this machine can run, ref first. For tests and benchmarks.
std::span<const KernelTable* const> runnable_kernels();

// The rule behind kernels(): `forced` is the value of FATHOM_ISA, nullopt or empty when it is not set.
const KernelTable& choose_kernels(std::optional<std::string_view> forced, const CpuFeatures& cpu);

}  // namespace fathom
