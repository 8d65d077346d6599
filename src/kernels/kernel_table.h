// The row and tile kernels, as one table of function pointers for each instruction set.
//
// Kernels take pointers and sizes, start no threads, allocate nothing and throw nothing. Pointers need only the
// alignment of their type (bytes: none). Inputs and outputs do not overlap unless a line says so. n >= 0. Every
// definition is in kernels/ref/; each table computes it with its own fixed order of summation, so its results are the
// same bits for the same arguments.
//
// Ops (matmul/, rows/, attention/) are what a model calls; attention and other inner loops may use the table directly.
#pragma once
#include <cstddef>
#include <cstdint>

namespace fathom {

enum class Isa : uint8_t { ref, avx2, avx512, avx512_vnni, amx };

// n elements from the start of a block, n a multiple of the format's block_elements. The same bits in every table:
// those of quant/decode.h. f8_e4m3 is decoded without its scale (Weight::scale_inv), which belongs to the matrix.
using DecodeFn = void (*)(const std::byte* blocks, int64_t n, float* out) noexcept;

// What one block of one row of activations in 8 bits has beside its codes (QuantisedRows, kernels/packed_weight.h).
struct BlockSums {
  float scale;           // NaN where a number of the block is not finite
  float total;           // the sum of the codes
  int32_t offset;        // -8 times that: what an integer product with codes that count from 8 begins with
  int32_t offset_first;  // of the first half of the block alone
  friend bool operator==(const BlockSums&, const BlockSums&) = default;
};

// The matmul of consecutive strips of a packed weight (kernels/packed_weight.h) with n <= 64 rows of activations:
// y[t * y_stride + r] = <row r of the strips, row t of the activations>, r < 8 n_strips, t < n. cols is a multiple of
// the format's unit. The same bits in every table: those of ref/packed_matmul.h.
using PackedProductFn = void (*)(const std::byte* packed, int64_t n_strips, int64_t cols, const int8_t* codes,
                                 const BlockSums* sums, int64_t n, float* y, int64_t y_stride) noexcept;

// The same for floating-point weights with activations in float32, block b of row t of which is at x + (b * n + t)
// * 32.
using FloatProductFn = void (*)(const std::byte* packed, int64_t n_strips, int64_t cols, const float* x, int64_t n,
                                float* y, int64_t y_stride) noexcept;

inline constexpr int kDecoders = 16;        // as many as DTypes
inline constexpr int64_t kMaxLanes = 16;    // of every table
inline constexpr int64_t kTileWeights = 8;  // rows of w that dot_tile likes best: any number works

struct KernelTable {
  Isa isa;
  int64_t lanes;  // partial sums that dot_tile keeps for each output

  DecodeFn decode[kDecoders];  // by DType; nullptr: none of its own (decoder, dispatch.h)

  // sum of a[i] * x[i]
  float (*dot_f32)(const float* a, const float* x, int64_t n) noexcept;
  // y[i] += alpha * x[i]
  void (*axpy_f32)(float alpha, const float* x, float* y, int64_t n) noexcept;
  // x[i] *= alpha
  void (*scale)(float alpha, float* x, int64_t n) noexcept;

  // Partial dot products of every row of w with every row of x (strides in elements): for r < n_rows, t < n_tokens
  //     acc[t * acc_stride + r * lanes + i % lanes] += w[r * w_stride + i] * x[t * x_stride + i],   i = 0 .. k-1 in
  //     this order.
  // A longer k may be given in pieces, each but the last a multiple of `lanes`; then reduce_lanes once. What is summed
  // for one (r, t), and in which order, depends on nothing else: not on n_rows, n_tokens, the place in the tile or the
  // pieces.
  void (*dot_tile)(const float* w, int64_t w_stride, int64_t n_rows, const float* x, int64_t x_stride, int64_t n_tokens,
                   int64_t k, float* acc, int64_t acc_stride) noexcept;
  // The same with w in bfloat16: the bits of dot_tile on the decoded rows, which need not be written anywhere.
  void (*dot_tile_bf16)(const uint16_t* w, int64_t w_stride, int64_t n_rows, const float* x, int64_t x_stride,
                        int64_t n_tokens, int64_t k, float* acc, int64_t acc_stride) noexcept;
  // out[j] = the sum of acc[j * lanes .. j * lanes + lanes - 1], halves folded together until one is left
  void (*reduce_lanes)(const float* acc, int64_t count, float* out) noexcept;

  // y[t * y_stride + i] += x[t * x_stride + r] * w[r * w_stride + i], r = 0 .. n_rows-1 in this order, for t <
  // n_tokens, i < k. Again the bits of one output depend on its own row of x and column of w alone.
  void (*axpy_tile)(const float* w, int64_t w_stride, int64_t n_rows, const float* x, int64_t x_stride,
                    int64_t n_tokens, int64_t k, float* y, int64_t y_stride) noexcept;

  // y[i] = x[i] * rstd * weight[i]; returns rstd = 1 / sqrt(mean(x^2) + eps). y may be x.
  float (*rmsnorm_row)(const float* x, const float* weight, float eps, int64_t n, float* y) noexcept;
  // y[i] = silu(gate[i]) * up[i], silu(g) = g / (1 + exp(-g)). y may be gate or up.
  void (*swiglu_row)(const float* gate, const float* up, int64_t n, float* y) noexcept;
  // Its gradients, with s = 1 / (1 + exp(-gate)): dgate[i] = dy * up * s * (1 + gate * (1 - s)), dup[i] = dy * gate *
  // s. The same bits in every table. dgate and dup may be dy and up, or gate and up.
  void (*swiglu_backward_row)(const float* gate, const float* up, const float* dy, int64_t n, float* dgate,
                              float* dup) noexcept;
  // dp[i] = scale * (p[i] * (dp[i] - inner)): the gradient of scores before a softmax, inner = <p, dp>. The same bits
  // in every table.
  void (*score_gradient_row)(float scale, float inner, const float* p, int64_t n, float* dp) noexcept;
  // Largest of x, NaN passed over; -infinity when there is none.
  float (*max_row)(const float* x, int64_t n) noexcept;
  // x[i] = exp(x[i] - shift), in place; returns their sum. exp is ref/exp.h: the same bits in every table.
  float (*exp_row)(float* x, float shift, int64_t n) noexcept;
  // x = exp(x - max x) / sum, in place; returns the sum (>= 1). Needs n >= 1 and one finite x.
  float (*softmax_row)(float* x, int64_t n) noexcept;

  // Rotates n_pairs pairs in place by (cos[i], sin[i]): (a, b) -> (a cos - b sin, a sin + b cos).
  void (*rope_interleaved)(float* x, const float* cos, const float* sin, int64_t n_pairs) noexcept;  // x[2i], x[2i+1]
  void (*rope_half_split)(float* x, const float* cos, const float* sin,
                          int64_t n_pairs) noexcept;  // x[i], x[i+n_pairs]

  PackedProductFn packed_product[kDecoders];  // by DType; null for types that are not packed
  FloatProductFn float_product[kDecoders];    // by DType; null for types that are not floating-point
  // Activations of 8 bits (QuantisedRows): n a multiple of 32; block b to codes + b * code_stride and sums + b *
  // sum_stride.
  void (*quantise_row)(const float* x, int64_t n, int8_t* codes, int64_t code_stride, BlockSums* sums,
                       int64_t sum_stride) noexcept;
  // Runs independent steps of packed_product between registers `rounds` times, the densest that are exact for codes of
  // up to 6 bits, and returns the number of operations, two for each multiply-add (kernels/peak.h). nullptr: not known.
  double (*byte_peak)(int64_t rounds) noexcept;
};

}  // namespace fathom
