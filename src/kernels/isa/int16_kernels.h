// The int16 kernels of each instruction set. Those of x86-64 exist in builds for it alone: int16_tables.h.
#pragma once
#include "kernels/int16_kernel.h"

namespace fathom {

namespace ref {
extern const Int16Kernel int16;
}
namespace avx2 {
extern const Int16Kernel int16;
}
namespace avx512_vnni {
extern const Int16Kernel int16;
}
namespace amx {
extern const Int16Kernel int16;
}

}  // namespace fathom
