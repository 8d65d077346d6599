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

// Heads of one token that read the same key/value head are done together, at most kMaxHeads.
inline constexpr int64_t kMaxHeads = 8;
inline constexpr int64_t kAttentionScratch = kMaxHeads * KeyTile::kMaxTile * (kMaxLanes + 1);  // floats

// queries (n, key.cols + shared_key.cols), of one token at `position`: keys at later positions are masked. states (n)
// and values (n, value.cols) are updated; values start as zero. scratch: kAttentionScratch floats of the calling
// thread.
void attend_tile(const KernelTable& k, const KeyTile& tile, MatView<const float> queries, int64_t position, float scale,
                 AttentionState* states, MatView<float> values, float* scratch) noexcept;

// values.row(i) /= states[i].sum
void finish_attention(const KernelTable& k, const AttentionState* states, MatView<float> values) noexcept;

}  // namespace fathom
