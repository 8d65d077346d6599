// The gemm kernel for AMX-BF16: products of tiles of 16 x 32 and 32 x 16. What may be included and defined here:
// avx512.cpp.
//
// One tile instruction adds, for each output, its sixteen products of even depth and those of odd depth, each summed
// in order, then both to the output (Intel SDM, TDPBF16PS; subnormals are zero): the same bits for a row wherever it
// stands.
#include <immintrin.h>

#include "kernels/isa/isa_tables.h"

namespace fathom::amx {
namespace {
#include "kernels/isa/amx_tiles.inl"
#include "kernels/isa/gemm_pack_avx512.inl"
// The order matters: words are made with what packing defines.
#include "kernels/isa/gemm_words_bf16.inl"

constexpr int64_t kRows = 32, kCols = 32;  // four tiles of sums, two of each operand: all eight
constexpr int64_t kTile = 16;

void begin() noexcept { load(TileConfig{}); }
void end() noexcept { _tile_release(); }

// What calls to come will read, into the second level cache.
const uint32_t* fetch(const uint32_t* ahead) noexcept {
  if (ahead == nullptr) return nullptr;
  for (int64_t i = 0; i < kPrefetchWords; i += 16) _mm_prefetch(reinterpret_cast<const char*>(ahead + i), _MM_HINT_T1);
  return ahead + kPrefetchWords;
}

// Tiles 0 .. 3 hold the sums (row tile 2, column tile 1), 4 and 5 rows of a, 6 and 7 columns of b.
void multiply_two(int64_t words, const uint32_t* a, const uint32_t* b, float* c, int64_t stride, bool add,
                  const uint32_t* ahead) noexcept {
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
    ahead = fetch(ahead);
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

// The upper half of a micro-panel: at most 16 rows.
void multiply_one(int64_t words, const uint32_t* a, const uint32_t* b, float* c, int64_t stride, bool add,
                  const uint32_t* ahead) noexcept {
  const int64_t row = stride * 4;
  if (add) {
    _tile_loadd(0, c, row);
    _tile_loadd(1, c + kTile, row);
  } else {
    _tile_zero(0);
    _tile_zero(1);
  }
  for (int64_t d = 0; d < words; d += kWordBlock, a += kRows * kWordBlock, b += kWordBlock * kCols) {
    ahead = fetch(ahead);
    _tile_loadd(4, a, kWordBlock * 4);
    _tile_loadd(6, b, kCols * 4);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, b + kTile, kCols * 4);
    _tile_dpbf16ps(1, 4, 7);
  }
  _tile_stored(0, c, row);
  _tile_stored(1, c + kTile, row);
}

void multiply(int64_t words, const uint32_t* a, RowLayout, const uint32_t* b, float* c, int64_t stride, int64_t n_rows,
              bool add, const uint32_t* ahead) noexcept {
  written(a);  // and b, and c: it holds for all memory
  (n_rows <= kTile ? multiply_one : multiply_two)(words, a, b, c, stride, add, ahead);
}

// Four independent chains of tile products.
double peak(int64_t rounds) noexcept {
  for (int64_t i = 0; i < rounds; ++i) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  return 2.0 * 4 * 16 * 16 * 32 * static_cast<double>(rounds);
}

void copy(const float* from, int64_t from_stride, float* to, int64_t to_stride, int64_t n_rows,
          int64_t n_cols) noexcept {
  const __mmask16 left = first_lanes(n_cols), right = first_lanes(n_cols - 16);
  for (int64_t i = 0; i < n_rows; ++i, from += from_stride, to += to_stride) {
    _mm512_mask_storeu_ps(to, left, _mm512_maskz_loadu_ps(left, from));
    _mm512_mask_storeu_ps(to + 16, right, _mm512_maskz_loadu_ps(right, from + 16));
  }
}

}  // namespace

const GemmKernel gemm_bf16 = {.name = "amx",
                              .rows = kRows,
                              .cols = kCols,
                              .per_word = 2,
                              .panel_words = 128,
                              .block_bytes = 1 << 20,
                              .rows_in_place = 0,
                              .transposed = row_after_row(kRows),
                              .f32 = packing_of_tiles<Pairs, kRows, kCols>(),
                              .bf16 = packing_of_tiles<StoredPairs, kRows, kCols>(),
                              .round_row = round_row,
                              .multiply = multiply,
                              .copy = copy,
                              .begin = begin,
                              .end = end,
                              .peak = peak};

}  // namespace fathom::amx
