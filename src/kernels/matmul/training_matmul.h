// The large matrix products of training: a linear layer's output, its input gradient and its weight gradient; the same
// for rows sorted by expert; and small ones for attention.
//     linear           y  = x W^T       x (T, K), W (N, K), y (T, N)
//     linear_dinput    dx = dy W        dy (T, N), dx (T, K);  or dx += dy W
//     linear_dweight   dw += dy^T x     dw (N, K)
//
// Arithmetic. Results are float32, and so are sums. x and dy are float32 or stored bfloat16, and AnyRows says which:
// what a product with MatmulPrecision::bf16 rounds may as well be rounded before, to the same bits.
// MatmulPrecision::f32 multiplies in float32 (one fma for each product). MatmulPrecision::bf16 first rounds both
// operands to bfloat16 (to nearest, ties to even; numbers below 2^-126 may become zero), whose products are exact in
// float32: the unit of the matrix instructions. Every output is one sum over the whole contraction, starting from 0, or
// from what it held for the += forms:
//     |error| <= (n + 2) * 2^-24 * (sum of |product| + |start|),   n terms, on the rounded operands.
//
// Same bits. An output depends on its own row of x (or dy) and the weight alone, in an order of summation that is fixed
// for the instruction set: not on the number of threads, on T, on the other rows, on the place of the row among them or
// on the grouping by expert. grouped_* are therefore bit for bit the ungrouped products of each expert's rows, and the
// _serial forms those of linear. A weight gradient is summed over the rows in order, straight into dw:
//     dw(A) then dw(B)  =  dw of the rows of A and B in one call, bit for bit,
// when the number of rows of A is a multiple of kRowBlock (MatmulPrecision::f32: any number). So 1 x 8 = 8 x 1
// micro-batches for all dense layers; for experts with MatmulPrecision::f32, or when each had a multiple of kRowBlock
// rows in each.
//
// Weights have any DType; what a block format holds is decoded exactly (quant/decode.h) before it is rounded.
// Shapes are checked (check()). Where there is no memory for scratch linear and grouped_linear throw std::bad_alloc, on
// the calling thread, and y is of no use; with the others the process ends. Scratch belongs to the thread and is kept
// for the next call: about 2 MB on each, and on the calling one the packed weight (64 MB of all experts at a time; of a
// single weight a round of the kernel, at most 4 KB a row). Inputs and outputs do not overlap. T = 0 is no work (y is
// empty, dw unchanged).
#pragma once
#include <span>

#include "base/machine/threads.h"
#include "kernels/input_gradient.h"
#include "kernels/matmul_precision.h"
#include "tensor/any_rows.h"
#include "tensor/view.h"
#include "tensor/weight.h"

namespace fathom {

inline constexpr int64_t kRowBlock = 32;

void linear(ThreadPool& pool, MatmulPrecision precision, const AnyRows& x, const Weight& w, MatView<float> y);
void linear_dinput(ThreadPool& pool, MatmulPrecision precision, const AnyRows& dy, const Weight& w,
                   const InputGradient& out) noexcept;
void linear_dweight(ThreadPool& pool, MatmulPrecision precision, const AnyRows& dy, const AnyRows& x,
                    MatView<float> dw) noexcept;

// Rows offsets[e] .. offsets[e+1]-1 belong to expert e. offsets (E+1) from 0 to the number of rows, not decreasing;
// weights and dw (E), all of one shape. An expert may have no rows: its weight is not read, its dw unchanged. An empty
// dw: that expert's gradient is not wanted, and not computed. Work is split over the threads by output tiles of all
// experts, so one with most of the rows does not hold up the others.
void grouped_linear(ThreadPool& pool, MatmulPrecision precision, const AnyRows& x, std::span<const int64_t> offsets,
                    std::span<const Weight> weights, MatView<float> y);
void grouped_linear_dinput(ThreadPool& pool, MatmulPrecision precision, const AnyRows& dy,
                           std::span<const int64_t> offsets, std::span<const Weight> weights,
                           const InputGradient& out) noexcept;
void grouped_linear_dweight(ThreadPool& pool, MatmulPrecision precision, const AnyRows& dy, const AnyRows& x,
                            std::span<const int64_t> offsets, std::span<const MatView<float>> dw) noexcept;

// On the calling thread alone, inside a section of the pool: one head, one block of attention. c is written, or added
// to when `add`.
void gemm_nt_serial(MatmulPrecision precision, const AnyRows& a, const AnyRows& b, MatView<float> c,
                    bool add) noexcept;  // c (M, N) = a (M, K) b (N, K)^T
void gemm_nn_serial(MatmulPrecision precision, const AnyRows& a, const AnyRows& b, MatView<float> c,
                    bool add) noexcept;  // c (M, N) = a (M, K) b (K, N)
void gemm_tn_serial(MatmulPrecision precision, const AnyRows& a, const AnyRows& b, MatView<float> c,
                    bool add) noexcept;  // c (M, N) = a (K, M)^T b (K, N)

}  // namespace fathom
