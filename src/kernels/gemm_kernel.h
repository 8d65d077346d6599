// The inner part of a large matrix product, as a table of function pointers for each instruction set: packing the two
// operands, and multiplying one micro-panel of each.
//     c (rows, cols) = a (rows, depth) b (depth, cols)
//
// Packed operands are words of 32 bits: one float, or two bfloat16 that follow each other in depth (`per_word`). Depth
// is padded with zeros to whole blocks of kWordBlock words. A micro-panel of a has `rows` rows, one of b `cols`
// columns:
//     a[(d / 16 * rows + i) * 16 + d % 16]   word d of row i: in each block, a row is 64 bytes that follow each other
//     b[d * cols + j]                        word d of column j
// so that AMX loads both as tiles, and vector units broadcast words of a against vectors of b.
//
// Kernels start no threads, allocate nothing and throw nothing. Pointers to floats need only their alignment;
// micro-panels start at 64 bytes. Padding columns of b are zero.
#pragma once
#include <cstdint>

namespace fathom {

inline constexpr int64_t kWordBlock = 16;
inline constexpr int64_t kMaxPanelRows = 32, kMaxPanelCols = 32;

inline constexpr int64_t kPrefetchWords = 64;

// n rows (or columns) of `depth` elements into one micro-panel, from its first word on.
using PackMicroPanel = void (*)(const float* src, int64_t stride, int64_t n, int64_t depth, uint32_t* panel) noexcept;

// Where words of a lie: word w of row i at a[w / 16 * block + i * row + w % 16].
struct RowLayout {
  int64_t row, block;
};

struct GemmKernel {
  const char* name;     // "amx", "avx512_bf16", ...
  int64_t rows, cols;   // of a micro-panel
  int64_t per_word;     // elements of depth in a word: 1 or 2
  int64_t panel_words;  // depth that one call of multiply likes: one micro-panel of b in the first level cache
  int64_t block_bytes;  // of a that one task keeps: what the second level cache holds beside b and c
  bool reads_rows;      // words are floats as they are: multiply can read a's rows where they lie, without packing

  PackMicroPanel pack_a;             // element (i, k) = src[i * stride + k]
  PackMicroPanel pack_a_transposed;  // element (i, k) = src[k * stride + i]
  PackMicroPanel pack_b;             // element (k, j) = src[k * stride + j]
  PackMicroPanel pack_b_transposed;  // element (k, j) = src[j * stride + k]

  // c[i * stride + j] = start + the sum over `words` words, in order, for i < n_rows <= rows and all columns; start: c
  // itself when `add`, else 0. c has room for a whole tile (rows, cols), all of which may be written. The bits of an
  // element depend on its row of a and column of b alone. When the words are given in pieces (with add), pieces of
  // whole blocks give the bits of all at once. `ahead` is what calls to come will read, kPrefetchWords for each block
  // of words, and is fetched meanwhile; nullptr: nothing. layout: a micro-panel's, {16, rows * 16}; or, with
  // reads_rows, that of a matrix, {stride, 16}.
  void (*multiply)(int64_t words, const uint32_t* a, RowLayout layout, const uint32_t* b, float* c, int64_t stride,
                   int64_t n_rows, bool add, const uint32_t* ahead) noexcept;

  // to[i * to_stride + j] = from[i * from_stride + j] for i < n_rows, j < n_cols <= cols: between tiles and the matrix.
  void (*copy)(const float* from, int64_t from_stride, float* to, int64_t to_stride, int64_t n_rows,
               int64_t n_cols) noexcept;

  // Around the calls of multiply on one thread; nullptr: nothing to do.
  void (*begin)() noexcept;
  void (*end)() noexcept;

  // `rounds` times some independent multiply instructions between registers (kernels/peak.h); returns the operations of
  // all of them, two for each multiply-add. Between begin and end. nullptr: not known.
  double (*peak)(int64_t rounds) noexcept;
};

}  // namespace fathom
