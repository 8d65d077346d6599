// GEMM micro-kernels: packing of the two operands into micro-panels, and the product of one micro-panel of each (an
// MR x NR tile), as one table of function pointers for each instruction set. Names of the parts are BLIS's.
//     c (rows, cols) = a (rows, depth) b (depth, cols)
//
// Packed operands consist of words of 32 bits: one float, or two bfloat16 that are neighbours in depth (per_word).
// Depth is padded with zeros to whole blocks of kWordBlock words. A micro-panel of a has `rows` rows (MR), one of b has
// `cols` columns (NR):
//     a[(d / 16 * rows + i) * 16 + d % 16]   word d of row i: within a block, each row is 64 consecutive bytes
//     b[d * cols + j]                        word d of column j
// so that AMX loads both as tiles, and vector units broadcast words of a and multiply them with vectors of b. Where a
// is stored transposed, vector units take its words as they come, a[d * rows + i]: RowLayout says which it is.
//
// Kernels start no threads, allocate nothing and throw nothing. Micro-panels are aligned to 64 bytes; pointers to
// floats need only the alignment of float. Padding columns of b are zero.
#pragma once
#include <cstdint>

namespace fathom {

inline constexpr int64_t kWordBlock = 16;
inline constexpr int64_t kMaxPanelRows = 32, kMaxPanelCols = 32;

inline constexpr int64_t kPrefetchWords = 64;

// Packing of n rows (or columns) of `depth` elements into one micro-panel. Element: float, which a kernel may round to
// bfloat16 on the way, or uint16_t, bfloat16 as it is stored.
template <class Element>
struct GemmPacking {
  using MicroPanel = void (*)(const Element* src, int64_t stride, int64_t n, int64_t depth, uint32_t* panel) noexcept;
  MicroPanel a;             // element (i, k) = src[i * stride + k]
  MicroPanel a_transposed;  // element (i, k) = src[k * stride + i]
  MicroPanel b;             // element (k, j) = src[k * stride + j]
  MicroPanel b_transposed;  // element (k, j) = src[j * stride + k]
};

// Where the words of a are: word w of row i at a[w / 16 * block + i * row + w % 16 * word].
struct RowLayout {
  int64_t row, block, word;
};
constexpr RowLayout row_after_row(int64_t rows) noexcept { return {kWordBlock, rows * kWordBlock, 1}; }
constexpr RowLayout word_after_word(int64_t rows) noexcept { return {1, rows * kWordBlock, rows}; }

struct GemmKernel {
  const char* name;       // "amx", "avx512_bf16", ...
  int64_t rows, cols;     // of a micro-panel
  int64_t per_word;       // elements of depth in a word: 1 or 2
  int64_t panel_words;    // best depth of one call of multiply: what of b fits the first-level cache
  int64_t block_bytes;    // size of a block of a (MC x KC): what the second-level cache holds beside b and c
  int64_t rows_in_place;  // bytes of the elements of a whose rows multiply can read from the matrix itself: its words
                          // are floats (4) or neighbours of bfloat16 (2); 0: none
  RowLayout transposed;   // of micro-panels of a that a_transposed packs: row_after_row(rows) or word_after_word(rows)

  GemmPacking<float> f32;
  GemmPacking<uint16_t> bf16;

  // out[i] = x[i] rounded to bfloat16 as packing rounds it. Only of kernels that round.
  void (*round_row)(const float* x, int64_t n, uint16_t* out) noexcept;

  // c[i * stride + j] = (add ? c[i * stride + j] : 0) + the sum over `words` words in order, for i < n_rows <= rows and
  // all columns. c has space for a whole tile (rows, cols), all of which may be written. The bits of an element depend
  // on its row of a and its column of b alone. Depth may be given in several calls, the later ones with `add`: pieces
  // of whole blocks give the bits of one call. `ahead` points to what later calls will read; kPrefetchWords of it are
  // prefetched for each block of words. nullptr: nothing is. layout: row_after_row(rows), `transposed`, or, of rows in
  // place, {words between rows, 16, 1}.
  void (*multiply)(int64_t words, const uint32_t* a, RowLayout layout, const uint32_t* b, float* c, int64_t stride,
                   int64_t n_rows, bool add, const uint32_t* ahead) noexcept;

  // to[i * to_stride + j] = from[i * from_stride + j] for i < n_rows, j < n_cols <= cols: between tiles and the matrix.
  void (*copy)(const float* from, int64_t from_stride, float* to, int64_t to_stride, int64_t n_rows,
               int64_t n_cols) noexcept;

  // Called before and after the calls of multiply on one thread; nullptr: there is nothing to set up.
  void (*begin)() noexcept;
  void (*end)() noexcept;

  // Runs independent multiply-adds between registers `rounds` times, between begin and end, and returns the number of
  // operations, two for each multiply-add (kernels/peak.h). nullptr: not known.
  double (*peak)(int64_t rounds) noexcept;
};

}  // namespace fathom
