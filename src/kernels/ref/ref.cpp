// The reference table: the definitions of kernels/ref/ in float, compiled for the baseline of the platform.
#include "kernels/isa/isa_tables.h"
#include "kernels/ref/dot.h"
#include "kernels/ref/packed_matmul.h"
#include "kernels/ref/rmsnorm.h"
#include "kernels/ref/rope.h"
#include "kernels/ref/softmax.h"
#include "kernels/ref/swiglu.h"
#include "quant/decode.h"

namespace fathom::ref {
namespace {

template <DType dtype>
void decode(const std::byte* blocks, int64_t n, float* out) noexcept {
  decode_blocks(dtype, blocks, n, out);
}

void dot_tile(const float* w, int64_t w_stride, int64_t n_rows, const float* x, int64_t x_stride, int64_t n_tokens,
              int64_t k, float* acc, int64_t acc_stride) noexcept {
  for (int64_t t = 0; t < n_tokens; ++t)
    for (int64_t r = 0; r < n_rows; ++r) {
      float sum = acc[t * acc_stride + r];
      for (int64_t i = 0; i < k; ++i) sum += w[r * w_stride + i] * x[t * x_stride + i];
      acc[t * acc_stride + r] = sum;
    }
}

void reduce_lanes(const float* acc, int64_t count, float* out) noexcept {
  for (int64_t j = 0; j < count; ++j) out[j] = acc[j];
}

void axpy_tile(const float* w, int64_t w_stride, int64_t n_rows, const float* x, int64_t x_stride, int64_t n_tokens,
               int64_t k, float* y, int64_t y_stride) noexcept {
  for (int64_t t = 0; t < n_tokens; ++t)
    for (int64_t r = 0; r < n_rows; ++r) axpy(x[t * x_stride + r], w + r * w_stride, y + t * y_stride, k);
}

}  // namespace

const KernelTable table = {
    .isa = Isa::ref,
    .lanes = 1,
    .decode = {decode<DType::f32>, decode<DType::f16>, decode<DType::bf16>, decode<DType::f8_e4m3>, decode<DType::q8_0>,
               decode<DType::q4_0>, decode<DType::q4_1>, decode<DType::q5_0>, decode<DType::q5_1>, decode<DType::q2_k>,
               decode<DType::q3_k>, decode<DType::q4_k>, decode<DType::q5_k>, decode<DType::q6_k>,
               decode<DType::iq4_nl>, decode<DType::iq4_xs>},
    .dot_f32 = dot<float, float>,
    .axpy_f32 = axpy<float, float>,
    .scale = scale<float>,
    .dot_tile = dot_tile,
    .reduce_lanes = reduce_lanes,
    .axpy_tile = axpy_tile,
    .rmsnorm_row = rmsnorm<float>,
    .swiglu_row = swiglu<float>,
    .max_row = max<float>,
    .exp_row = exp_sum<float>,
    .softmax_row = softmax<float>,
    .rope_interleaved = rope_interleaved<float>,
    .rope_half_split = rope_half_split<float>,
    .packed_product = {nullptr, nullptr, nullptr, nullptr, packed_product<DType::q8_0>, packed_product<DType::q4_0>,
                       packed_product<DType::q4_1>, packed_product<DType::q5_0>, packed_product<DType::q5_1>, nullptr,
                       nullptr, packed_product<DType::q4_k>, packed_product<DType::q5_k>, packed_product<DType::q6_k>},
    .quantise_row = quantise_row,
    .byte_peak = nullptr,
};

}  // namespace fathom::ref
