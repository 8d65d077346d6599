#include "kernels/isa/isa_tables.h"
#include "kernels/isa/tables.h"

namespace fathom {

std::span<const KernelTable* const> compiled_kernels() noexcept {
  static constexpr const KernelTable* kTables[] = {&ref::table, &avx2::table, &avx512::table, &avx512_vnni::table,
                                                   &amx::table};
  return kTables;
}

}  // namespace fathom
