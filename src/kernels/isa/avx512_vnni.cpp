// The table for AVX-512 F, BW, VL, DQ and VNNI. What may be included and defined here: avx512.cpp.
#include <immintrin.h>

#include <utility>

#include "kernels/isa/isa_tables.h"

namespace fathom::avx512_vnni {
namespace {
#include "kernels/simd/avx512.h"
// The order matters: the register type, then what is written against it.
#include "kernels/isa/body.inl"
#include "kernels/isa/decode_x86.inl"
#include "kernels/isa/float_strips.inl"
#include "kernels/isa/packed_avx2.inl"
// Then what is written against that.
#include "kernels/isa/packed_avx512_vnni.inl"
namespace packed_kernels = packed16;
}  // namespace

const KernelTable table = {
    .isa = Isa::avx512_vnni,
#include "kernels/isa/table.inl"
};

}  // namespace fathom::avx512_vnni
