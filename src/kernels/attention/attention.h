// Softmax attention over tiles of keys, with a running maximum and sum (flash style: no row of scores is longer than a
// tile).
//     s_j = scale * <q, k_j>,   p = softmax over j <= position,   o = sum_j p_j v_j
// For a tile with scores s: m' = max(m, max s);  l' = l e^(m - m') + sum e^(s - m');  o' = o e^(m - m') + sum e^(s -
// m') v;  at the end o / l. Source: arXiv:2205.14135, algorithm 1. Scores, probabilities and sums are float32.
//
// Tiles are visited in order of position, and a (token, head) meets the same tiles whatever else is in the batch, so
// its result is the same bits for any number of threads and any neighbours. Another tiling rounds differently (by a few
// units in the last place).
#pragma once
#include <cstdint>

#include "kernels/kernel_table.h"
#include "tensor/view.h"

namespace fathom {

// Keys and values of positions [first_position, first_position + n) for one key/value head. Key j is [ key.row(j) |
// shared_key.row(j) ]; the second part (the rotated key of latent attention, one for all heads) may be empty.
struct KeyTile {
  static constexpr int64_t kMaxTile = 256;
  int64_t first_position = 0;
  MatView<const float> key, shared_key, value;  // n rows each
};

// Running state of one (token, head), beside its unnormalised weighted sum of values.
struct AttentionState {
  float max = -__builtin_inff(), sum = 0;
};

// Rows of queries that are done together: heads of one token, or consecutive tokens of one head.
inline constexpr int64_t kMaxQueries = 16;
inline constexpr int64_t kKeyPiece = 64;  // keys scored at a time
inline constexpr int64_t kAttentionScratch = kMaxQueries * (KeyTile::kMaxTile + kKeyPiece * kMaxLanes);  // floats

struct QueryBlock {
  MatView<const float> queries;  // (n, key.cols + shared_key.cols), n <= kMaxQueries, all for the tile's key/value head
  int64_t position = 0,
          step = 0;  // row i is at position + i * step: step 0 for heads of one token, 1 for consecutive tokens
  AttentionState* states = nullptr;  // of row i: states[i * state_stride]
  int64_t state_stride = 1;
  MatView<float> values;  // (n, value.cols): the weighted sums so far, zero at first
};

// Keys at positions after a row's own are masked: nothing of them reaches its result. scratch: kAttentionScratch floats
// of the calling thread.
void attend_tile(const KernelTable& k, const KeyTile& tile, const QueryBlock& block, float scale,
                 float* scratch) noexcept;

// values.row(i) /= states[i].sum
void finish_attention(const KernelTable& k, const AttentionState* states, MatView<float> values) noexcept;

}  // namespace fathom
