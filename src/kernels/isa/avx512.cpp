// The table for AVX-512 F, BW, VL, DQ. Only simd/, isa/, kernel_table.h and
// headers of types may be included here, and everything but the
// table stays in the anonymous namespace: an inline function that the linker could share would carry these instructions
// into the whole program (tools/checks/check_isa_symbols.py).
#include <immintrin.h>

#include <utility>

#include "kernels/isa/isa_tables.h"

namespace fathom::avx512 {
namespace {
#include "kernels/simd/avx512.h"
// The order matters: the register type, then what is written against it.
#include "kernels/isa/body.inl"
#include "kernels/isa/decode_x86.inl"
#include "kernels/isa/float_strips.inl"
#include "kernels/isa/packed_avx2.inl"
namespace packed_kernels = packed;
}  // namespace

const KernelTable table = {
    .isa = Isa::avx512,
#include "kernels/isa/table.inl"
};

}  // namespace fathom::avx512
