#include "kernels/isa/tables.h"

namespace fathom {

namespace ref {
extern const KernelTable table;
}

std::span<const KernelTable* const> compiled_kernels() noexcept {
  static constexpr const KernelTable* kTables[] = {&ref::table};
  return kTables;
}

}  // namespace fathom
