// The inner part of attention in 16-bit integers, as a table of function pointers for each instruction set: what
// Arithmetic::fast multiplies with. One instruction multiplies pairs of int16 and adds the two products in int32,
// exactly, twice as many in a cycle as float32 fma where there is no other dot product (AVX2: vpmaddwd).
//
// Query rows stand side by side as lanes: a *panel* is kLanes rows, and everything of them is stored (index, lane), so
// that maxima, exponentials and sums need no horizontal step. Keys and values are the other operand, one word at a
// time. A word is 32 bits: two int16 that follow each other in depth.
//     scores   S^T (cells, lanes)  = keys (cells, words of the width) . queries (words of the width, lanes)
//     sums     Z^T (columns, lanes) = values (columns, words of two cells) . probabilities (words of two cells, lanes)
//
// No int32 sum overflows:
//     scores   groups of kGroup numbers, both at most kMaxCode: 128 * 4095^2         = 2,146,435,200 < 2^31
//     sums     tiles of kTileCells cells, kMaxWeight by kMaxCode: 64 * 8191 * 4095  = 2,146,697,280 < 2^31
// Each group's sum is scaled and added in float32. Every function gives the same bits in every table, and the bits of a
// lane depend on that lane alone. Kernels start no threads, allocate nothing, throw nothing; pointers need the
// alignment of their type.
#pragma once
#include <cstdint>

namespace fathom {

inline constexpr int64_t kLanes = 16;
inline constexpr int64_t kGroup = 128;       // numbers that share a scale
inline constexpr int64_t kTileCells = 64;    // cached positions of a tile
inline constexpr int64_t kMaxCode = 4095;    // of queries, keys and values
inline constexpr int64_t kMaxWeight = 8191;  // of probabilities
static_assert(kGroup * kMaxCode * kMaxCode < int64_t{1} << 31);
static_assert(kTileCells * kMaxWeight * kMaxCode < int64_t{1} << 31);

// The running softmax of a panel, by lane. Probabilities are e^(s - shift); the shift follows the largest score, but
// only when that is more than kShiftSlack above it, so that sums are seldom scaled again.
inline constexpr float kShiftSlack = 8;
struct alignas(64) LaneState {
  float shift[kLanes];  // -infinity before the first visible cell
  float sum[kLanes];    // of probabilities
  float keep[kLanes];   // of the last tile: what the sums before it are to be multiplied with
  float top[kLanes];    // of the last tile: the largest probability
};

// Where words lie: word w of row i at data[i * row + w * word].
struct Words {
  const uint32_t* data;
  int64_t row, word;
};

// Memory that will be read soon, fetched while something else is multiplied: some lines for each call.
struct Ahead {
  const char *at = nullptr, *end = nullptr;
};

struct Int16Kernel {
  const char* name;

  // c[i * kLanes + l] = (add ? itself : 0) + (sum of dot(a(i, w), b[w * kLanes + l])) * row_scale[i * row_stride] *
  // lane_scale[l], for i < n_rows, w < words; the last product and sum are one fma. row_scale nullptr: ones. Moves
  // `ahead` on.
  void (*multiply)(int64_t n_rows, int64_t words, Words a, const uint32_t* b, const float* row_scale,
                   int64_t row_stride, const float* lane_scale, bool add, Ahead& ahead, float* c) noexcept;

  // Scores s (n, kLanes), n <= kTileCells, become probabilities: 0 for cells from visible[lane] on, else e^(scale * s -
  // shift); the state follows. Returns whether some keep is not 1.
  bool (*softmax)(float* s, int64_t n, const int32_t* visible, float scale, LaneState& state) noexcept;

  // words[(j / 2) * kLanes + l] = { round(p_j scales_j inverse[l]), the same of j + 1, or 0 }; p (n, kLanes), scale of
  // cell j at scales[j * stride]. Results are at most kMaxWeight.
  void (*round_weights)(const float* p, int64_t n, const float* scales, int64_t stride, const float* inverse,
                        uint32_t* words) noexcept;

  // z[i * kLanes + l] *= keep[l], i < n
  void (*scale_lanes)(float* z, int64_t n, const float* keep) noexcept;

  // out[l * stride + i] = z[i * kLanes + l], i < n, all lanes
  void (*transpose)(const float* z, int64_t n, float* out, int64_t stride) noexcept;

  // encode_group of kvcache/cache_row.h, from float32 and from bfloat16; n <= kGroup.
  float (*quantize)(const float* x, int64_t n, int largest, int16_t* codes) noexcept;
  float (*quantize_bf16)(const uint16_t* x, int64_t n, int largest, int16_t* codes) noexcept;

  // codes[i] = bytes[i]
  void (*widen)(const int8_t* bytes, int64_t n, int16_t* codes) noexcept;

  // words[i] = { even[i], odd[i] }; odd nullptr: zeros
  void (*interleave)(const int16_t* even, const int16_t* odd, int64_t n, uint32_t* words) noexcept;
  void (*interleave_bytes)(const int8_t* even, const int8_t* odd, int64_t n, uint32_t* words) noexcept;

  // `rounds` times some independent multiplications and additions between registers; returns their operations, two for
  // each multiply-add (kernels/peak.h). nullptr: not known.
  double (*peak)(int64_t rounds) noexcept;
};

// The kernels of the table that dispatch.h chose, or the best of a lesser one. Throws as kernels() does, at the first
// call alone.
const Int16Kernel& int16_kernel();

}  // namespace fathom
