// The table of each instruction set. Which of them a build has: tables.h.
#pragma once
#include "kernels/kernel_table.h"

namespace fathom {

namespace ref {
extern const KernelTable table;
}
namespace avx2 {
extern const KernelTable table;
}
namespace avx512 {
extern const KernelTable table;
}
namespace avx512_vnni {
extern const KernelTable table;
}
namespace amx {
extern const KernelTable table;
}

}  // namespace fathom
