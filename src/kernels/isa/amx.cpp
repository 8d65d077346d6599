// The table for AMX with products of bytes, and AVX-512 with VNNI. What may be included and defined here: avx512.cpp.
#include <immintrin.h>

#include <utility>

#include "kernels/isa/isa_tables.h"

namespace fathom::amx {
namespace {
#include "kernels/simd/avx512.h"
// The order matters: the register type, then what is written against it.
#include "kernels/isa/body.inl"
#include "kernels/isa/decode_x86.inl"
#include "kernels/isa/float_strips.inl"
#include "kernels/isa/packed_avx2.inl"
// Then what is written against that.
#include "kernels/isa/packed_avx512_vnni.inl"
// And against that.
#include "kernels/isa/amx_tiles.inl"
#include "kernels/isa/packed_amx.inl"
namespace packed_kernels = packed_amx;
}  // namespace

const KernelTable table = {
    .isa = Isa::amx,
#include "kernels/isa/table.inl"
};

}  // namespace fathom::amx
