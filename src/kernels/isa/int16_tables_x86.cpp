#include "kernels/isa/int16_kernels.h"
#include "kernels/isa/int16_tables.h"

namespace fathom {

std::span<const CompiledInt16> compiled_int16() noexcept {
  static constexpr CompiledInt16 kKernels[] = {{Isa::ref, &ref::int16},
                                               {Isa::avx2, &avx2::int16},
                                               {Isa::avx512_vnni, &avx512_vnni::int16},
                                               {Isa::amx, &amx::int16}};
  return kKernels;
}

}  // namespace fathom
