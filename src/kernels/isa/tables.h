// The tables compiled into this build, worst first. Defined once for each kind of machine: tables_x86.cpp,
// tables_portable.cpp.
#pragma once
#include <span>

#include "kernels/kernel_table.h"

namespace fathom {

std::span<const KernelTable* const> compiled_kernels() noexcept;

}  // namespace fathom
