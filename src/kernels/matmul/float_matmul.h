// Matrix products with a stored weight of any element type. Activations, accumulation and results are float32; the
// weight is decoded piece by piece, exactly as quant/decode.h says, and never as a whole.
//     matmul             y = x W^T   a linear layer W (N, K) applied to T rows
//     matmul_transposed  y = x W     the sum over the rows of W, in row order: absorbed queries, expanded keys
//
// The same bits everywhere: y[t][n] depends on row t of x, row (or column) n of w, the element type and the instruction
// set alone: not on T, on the number of threads, on where t and n fall in a tile, nor on the serial or parallel form.
// The order of summation of matmul is KernelTable::dot_tile's.
//
// Cost: each element of w is read and decoded once for every 96 rows of x. With few rows memory bounds it, with many
// the FMA units. Scratch is on the stack (about 220 KB). x and y do not overlap. Shapes are checked (check()); throws
// nothing.
#pragma once
#include <span>

#include "base/machine/threads.h"
#include "tensor/view.h"
#include "tensor/weight.h"

namespace fathom {

// x (T, K), w (N, K), y (T, N), written.
void matmul(ThreadPool& pool, MatView<const float> x, const Weight& w, MatView<float> y) noexcept;

// Rows sorted by expert: rows offsets[e] .. offsets[e+1]-1 of x are multiplied with weights[e], as matmul would.
// x (n_rows, K), offsets (E+1) from 0 to n_rows, not decreasing; weights (E), all (N, K); y (n_rows, N), written.
// Experts without rows are not read. Balanced over the threads by work, whatever the number of rows of each expert.
void grouped_matmul(ThreadPool& pool, MatView<const float> x, std::span<const int64_t> offsets,
                    std::span<const Weight> weights, MatView<float> y);

// The same products on the calling thread alone, for small ones inside a section of the pool (one head, one cache
// block).
void matmul_serial(MatView<const float> x, const Weight& w, MatView<float> y) noexcept;
void matmul_transposed_serial(MatView<const float> x, const Weight& w, MatView<float> y) noexcept;

// Row ids[t] of w, decoded, into row t of y: the embedding. w (N, K), y (T, K). Each id is in 0 .. N-1 (check()).
void gather_rows(const Weight& w, std::span<const int32_t> ids, MatView<float> y) noexcept;

}  // namespace fathom
