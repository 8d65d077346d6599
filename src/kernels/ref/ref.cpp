// The reference table: the definitions of kernels/ref/ in float, compiled for the baseline of the platform.
#include <utility>

#include "kernels/isa/isa_tables.h"
#include "kernels/ref/backward.h"
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

float as_float(float value) noexcept { return value; }
float as_float(uint16_t bf16) noexcept { return bf16_to_f32(bf16); }

template <class Element>
void dot_tile(const Element* w, int64_t w_stride, int64_t n_rows, const float* x, int64_t x_stride, int64_t n_tokens,
              int64_t k, float* acc, int64_t acc_stride) noexcept {
  for (int64_t t = 0; t < n_tokens; ++t)
    for (int64_t r = 0; r < n_rows; ++r) {
      float sum = acc[t * acc_stride + r];
      for (int64_t i = 0; i < k; ++i) sum += as_float(w[r * w_stride + i]) * x[t * x_stride + i];
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

template <DType dtype>
constexpr PackedProductFn packed_product_of() noexcept {
  if constexpr (packed_format(dtype).has_value() && !is_floating(dtype))
    return packed_product<dtype>;
  else
    return nullptr;
}

template <DType dtype>
constexpr FloatProductFn float_product_of() noexcept {
  if constexpr (is_floating(dtype))
    return float_product<dtype>;
  else
    return nullptr;
}

// Of every element type.
static_assert(kDecoders == kDTypes.size());
template <size_t... kTypes>
constexpr KernelTable with_formats(KernelTable table, std::index_sequence<kTypes...>) noexcept {
  ((table.decode[kTypes] = decode<static_cast<DType>(kTypes)>), ...);
  ((table.packed_product[kTypes] = packed_product_of<static_cast<DType>(kTypes)>()), ...);
  ((table.float_product[kTypes] = float_product_of<static_cast<DType>(kTypes)>()), ...);
  return table;
}

}  // namespace

constinit const KernelTable table = with_formats(
    KernelTable{
        .isa = Isa::ref,
        .lanes = 1,
        .decode = {},
        .dot_f32 = dot<float, float>,
        .axpy_f32 = axpy<float, float>,
        .scale = scale<float>,
        .dot_tile = dot_tile<float>,
        .dot_tile_bf16 = dot_tile<uint16_t>,
        .reduce_lanes = reduce_lanes,
        .axpy_tile = axpy_tile,
        .rmsnorm_row = rmsnorm<float>,
        .swiglu_row = swiglu<float>,
        .swiglu_backward_row = swiglu_backward<float>,
        .score_gradient_row = score_gradient<float>,
        .max_row = max<float>,
        .exp_row = exp_sum<float>,
        .softmax_row = softmax<float>,
        .rope_interleaved = rope_interleaved<float>,
        .rope_half_split = rope_half_split<float>,
        .packed_product = {},
        .float_product = {},
        .quantise_row = quantise_row,
        .byte_peak = nullptr,
    },
    std::make_index_sequence<kDecoders>());

}  // namespace fathom::ref
