// The gemm kernel for AMX-BF16: products of tiles of 16 x 32 and 32 x 16. What may be included and defined here:
// avx512.cpp.
//
// One tile instruction adds, for each output, its sixteen products of even depth and those of odd depth, each summed
// in order, then both to the output (Intel SDM, TDPBF16PS; subnormals are zero): the same bits for a row wherever it
// stands.
#include <immintrin.h>

#include "kernels/isa/gemm_kernels.h"

namespace fathom::amx {
namespace {
#include "kernels/isa/gemm_pack_avx512.inl"
// The order matters: words are made with what packing defines.
#include "kernels/isa/gemm_words_bf16.inl"

constexpr int64_t kRows = 32, kCols = 32;  // four tiles of sums, two of each operand: all eight
constexpr int64_t kTile = 16;

struct alignas(64) TileConfig {  // Intel SDM, LDTILECFG
  uint8_t palette = 1, start_row = 0, reserved[14] = {};
  uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
constexpr TileConfig kConfig;

void begin() noexcept { _tile_loadconfig(&kConfig); }
void end() noexcept { _tile_release(); }

// The compiler does not know that tile loads read memory.
void finish_stores() noexcept { asm volatile("" ::: "memory"); }

// Tiles 0 .. 3 hold the sums (row tile 2, column tile 1), 4 and 5 rows of a, 6 and 7 columns of b.
void multiply_two(int64_t words, const uint32_t* a, const uint32_t* b, float* c, int64_t stride, bool add) noexcept {
  const int64_t row = stride * 4;
  float* below = c + kTile * stride;
  if (add) {
    _tile_loadd(0, c, row);
    _tile_loadd(1, c + kTile, row);
    _tile_loadd(2, below, row);
    _tile_loadd(3, below + kTile, row);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  for (int64_t d = 0; d < words; d += kWordBlock, a += kRows * kWordBlock, b += kWordBlock * kCols) {
    _tile_loadd(6, b, kCols * 4);
    _tile_loadd(4, a, kWordBlock * 4);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, b + kTile, kCols * 4);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, a + kTile * kWordBlock, kWordBlock * 4);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, c, row);
  _tile_stored(1, c + kTile, row);
  _tile_stored(2, below, row);
  _tile_stored(3, below + kTile, row);
}

// The upper half of a panel: at most 16 rows.
void multiply_one(int64_t words, const uint32_t* a, const uint32_t* b, float* c, int64_t stride, bool add) noexcept {
  const int64_t row = stride * 4;
  if (add) {
    _tile_loadd(0, c, row);
    _tile_loadd(1, c + kTile, row);
  } else {
    _tile_zero(0);
    _tile_zero(1);
  }
  for (int64_t d = 0; d < words; d += kWordBlock, a += kRows * kWordBlock, b += kWordBlock * kCols) {
    _tile_loadd(4, a, kWordBlock * 4);
    _tile_loadd(6, b, kCols * 4);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, b + kTile, kCols * 4);
    _tile_dpbf16ps(1, 4, 7);
  }
  _tile_stored(0, c, row);
  _tile_stored(1, c + kTile, row);
}

void copy(const float* from, int64_t from_stride, float* to, int64_t to_stride, int64_t n_rows,
          int64_t n_cols) noexcept {
  const __mmask16 left = first_lanes(n_cols), right = first_lanes(n_cols - kTile);
  for (int64_t i = 0; i < n_rows; ++i, from += from_stride, to += to_stride) {
    _mm512_mask_storeu_ps(to, left, _mm512_maskz_loadu_ps(left, from));
    _mm512_mask_storeu_ps(to + kTile, right, _mm512_maskz_loadu_ps(right, from + kTile));
  }
}

void multiply(int64_t words, const uint32_t* a, const uint32_t* b, float* c, int64_t stride, int64_t n_rows,
              int64_t n_cols, bool add) noexcept {
  const bool one = n_rows <= kTile;
  const auto tiles = one ? multiply_one : multiply_two;
  finish_stores();
  if (n_rows == (one ? kTile : kRows) && n_cols == kCols) return tiles(words, a, b, c, stride, add);
  alignas(64) float edge[kRows * kCols];  // sums at the edge of c; rows that c has not may hold anything
  if (add) copy(c, stride, edge, kCols, n_rows, n_cols);
  finish_stores();
  tiles(words, a, b, edge, kCols, add);
  copy(edge, kCols, c, stride, n_rows, n_cols);
}

}  // namespace

const GemmKernel gemm_bf16 = {.name = "amx",
                              .rows = kRows,
                              .cols = kCols,
                              .per_word = 2,
                              .block_bytes = 1 << 20,
                              .pack_a = pack_a<Pairs, kRows>,
                              .pack_a_transposed = pack_a_transposed<Pairs, kRows>,
                              .pack_b = pack_b<Pairs, kCols>,
                              .pack_b_transposed = pack_b_transposed<Pairs, kCols>,
                              .multiply = multiply,
                              .begin = begin,
                              .end = end};

}  // namespace fathom::amx
