// The int16 kernels compiled into this build, worst first. Defined once for each kind of machine:
// int16_tables_x86.cpp, int16_tables_portable.cpp.
#pragma once
#include <span>

#include "kernels/int16_kernel.h"
#include "kernels/kernel_table.h"

namespace fathom {

struct CompiledInt16 {
  Isa isa;  // the least that a machine must have
  const Int16Kernel* kernel;
};

std::span<const CompiledInt16> compiled_int16() noexcept;

}  // namespace fathom
