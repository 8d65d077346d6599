// Every int16 kernel that this machine can run, ref first. For tests and benchmarks; int16_kernel() is the one that
// runs.
#pragma once
#include <vector>

#include "kernels/int16_kernel.h"

namespace fathom {

std::vector<const Int16Kernel*> runnable_int16_kernels();

}  // namespace fathom
