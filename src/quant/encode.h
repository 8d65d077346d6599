// Numbers -> stored bytes, for every element type.
//
// q8_0, q4_0, q4_1, q5_0, q5_1: the bytes of PyPI gguf's numpy encoder (gguf/quants.py), bit for bit; but the m of a
// block whose smallest numbers are zeros of both signs is +0 here and either zero there (it decodes to the same bits).
// The K formats, iq4_nl and iq4_xs have no such definition; their encoders search for the scales that make the squared
// error small (quant/encode_k.cpp says how). f16, bf16: rounded to nearest even. Results do not depend on compiler,
// instruction set or threads.
//
// encode_row_thorough searches longer, in every quantised type, and minimises a weighted error: with the mean square of
// the activations that a column is multiplied with as its weight, that of the products (docs/quantisation.md).
#pragma once
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/machine/threads.h"
#include "tensor/dtype.h"
#include "tensor/view.h"

namespace fathom {

// plain: what encode_row gives. thorough: encode_row_thorough.
enum class Search : uint8_t { plain, thorough };

// n elements (a multiple of the type's block_elements) of x to row_bytes(dtype, n) bytes at out, aligned or not. Any
// type but f8_e4m3, whose scales belong to a matrix. Elements that find_unencodable() would report give some bytes
// without meaning, never a fault.
void encode_row(DType dtype, const float* x, int64_t n, std::byte* out) noexcept;

// The same with a search for the block that makes  sum over i of w[i] (x[i] - decoded[i])^2  small. It is never larger
// than encode_row's (where weights below a millionth of the block's largest count as that). w: n numbers >= 0; nullptr,
// and in a block all zeros: equal weights. About ten times slower. Plain types: encode_row.
void encode_row_thorough(DType dtype, const float* x, const float* w, int64_t n, std::byte* out) noexcept;

// The first element that the type cannot hold; -1 when there is none. Quantised types (f8_e4m3 too) hold no NaN and no
// infinity, and their f16 scales end at magnitudes of 65504 (q4_1, q5_1, K and IQ4 formats) or that times the largest
// code (q8_0 x127, q4_0 x8, q5_0 x16). f16 and bf16 keep NaN and infinity, but a finite number that would become an
// infinity is reported.
int64_t find_unencodable(DType dtype, const float* x, int64_t n) noexcept;

// All rows of x, shared out over the pool, to rows of row_bytes(dtype, x.cols) at out. bad_input naming `what` (a
// tensor), row, column and value when find_unencodable() finds something; out is then partly written.
void encode_matrix(ThreadPool& pool, DType dtype, MatView<const float> x, std::byte* out, std::string_view what);

// f8_e4m3 with DeepSeek's 128 x 128 blocks: one stripe of at most 128 rows (x.rows * x.cols bytes at out, row after
// row) and its ceil(x.cols / 128) scales:   scale_inv = max|x| / 448 over the block (1 for a block of zeros),   stored
// = fp8(x / scale_inv).
void encode_f8_stripe(MatView<const float> x, std::byte* out, float* scale_inv) noexcept;

}  // namespace fathom
