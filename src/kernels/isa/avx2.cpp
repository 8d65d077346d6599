// The table for AVX2, FMA, F16C. Only simd/, isa/, kernel_table.h and
// headers of types may be included here, and everything but the table
// stays in the anonymous namespace: an inline function that the linker could share would carry these instructions into
// the whole program (tools/check_isa_symbols.py).
#include <immintrin.h>

#include <utility>

#include "kernels/isa/isa_tables.h"

namespace fathom::avx2 {
namespace {
#include "kernels/simd/avx2.h"
// The order matters: the register type, then what is written against it.
#include "kernels/isa/body.inl"
#include "kernels/isa/decode_x86.inl"
#include "kernels/isa/panels_avx2.inl"
}  // namespace

const KernelTable table = {
    .isa = Isa::avx2,
    .lanes = F32::lanes,
    .decode = {decode_f32, decode_f16, decode_bf16, decode_f8_e4m3, decode_q8_0, decode_q4_0, decode_q4_1, decode_q5_0,
               decode_q5_1, decode_q2_k, decode_q3_k, decode_q4_k, decode_q5_k, decode_q6_k},
    .dot_f32 = dot<float>,
    .dot_bf16 = dot<uint16_t>,
    .axpy_f32 = axpy<float>,
    .axpy_bf16 = axpy<uint16_t>,
    .scale = scale,
    .dot_tile = dot_tile,
    .reduce_lanes = reduce_lanes,
    .axpy_tile = axpy_tile,
    .rmsnorm_row = rmsnorm_row,
    .swiglu_row = swiglu_row,
    .max_row = max_row,
    .exp_row = exp_row,
    .softmax_row = softmax_row,
    .rope_interleaved = rope_interleaved,
    .rope_half_split = rope_half_split,
    .panel_product = {nullptr, nullptr, nullptr, nullptr, panels::product<panels::Q8_0>, panels::product<panels::Q4_0>,
                      panels::product<panels::WithMin<4>>, panels::product<panels::Q5_0>,
                      panels::product<panels::WithMin<5>>, nullptr, nullptr, panels::product<panels::SuperBlock<4>>,
                      panels::product<panels::SuperBlock<5>>, panels::product<panels::Q6K>},
    .quantise_row = panels::quantise_row,
};

}  // namespace fathom::avx2
