// What the forward pass keeps for the backward pass. Everything else is computed again: norms, expanded keys and
// values, gated activations.
#pragma once
#include <vector>

#include "kernels/attention/attention.h"
#include "model/context.h"
#include "model/moe/router.h"

namespace fathom {

struct AttentionSaved {
  MatView<float> q_latent;           // (T, Q) before its norm; empty without q_lora_rank or MLA
  MatView<float> q;                  // (T, H * query width), rotated
  MatView<float> latent;             // MLA: (T, C + R), before the norm | rotated
  MatView<float> key_value;          // GQA: (T, 2 G d), keys rotated
  MatView<float> o;                  // (T, H * value width), before o_proj
  AttentionState* states = nullptr;  // (T, H)
};

struct MlpSaved {
  MatView<float> both;  // (T, 2 F): gate | up
  MatView<float> gate() const noexcept { return both.sub_cols(0, both.cols / 2); }
  MatView<float> up() const noexcept { return both.sub_cols(both.cols / 2, both.cols / 2); }
  MlpSaved sub_rows(int64_t first, int64_t n) const noexcept { return {both.sub_rows(first, n)}; }
};

// The (token, choice) pairs of a batch that are computed, sorted by expert; within one expert by token.
struct Dispatch {
  std::vector<int64_t> offsets;  // (E + 1): pairs of expert e are rows [offsets[e], offsets[e + 1])
  std::vector<int32_t> token;    // row -> token
  std::vector<int32_t> row;      // token * K + choice -> row; -1: dropped
};

struct MoeSaved {
  MatView<float> scores;  // (T, E), the softmax
  Routing routing;
  Dispatch dispatch;
  MlpSaved experts;  // (rows, F)
  MlpSaved shared;   // (T, shared width); empty without shared experts
};

struct LayerSaved {
  MatView<float> x;      // (T, D) input of the layer
  MatView<float> x_mid;  // (T, D) after attention
  AttentionSaved attention;
  MlpSaved mlp;
  MoeSaved moe;
};

}  // namespace fathom
