// What one pass through the network carries from layer to layer, forward and backward.
#pragma once
#include "config/config.h"
#include "kvcache/kv_cache.h"
#include "model/attention/int16/mla_costs.h"
#include "model/batch.h"
#include "model/context.h"
#include "model/weights.h"

namespace fathom {

enum class MlaForm : uint8_t { automatic, naive, absorbed };

// What the attention of all layers shares.
struct AttentionSettings {
  float scale = 0;  // of the scores: softmax_scale(config)
  // automatic: the cheaper by the formula of mla.h, in quantised arithmetic weighed by `costs`; chosen for each
  // sequence by its own numbers of new and past tokens
  MlaForm mla_form = MlaForm::automatic;
  MlaCosts costs = {};
};

// A loaded model with what is derived from its config once (make_network, transformer.h).
struct Network {
  const ModelConfig* config;
  const ModelWeights* weights;
  RotaryTable rotary;
  AttentionSettings attention;
};

struct Step {
  Context& ctx;
  const Network& network;
  const Batch& batch;
  RotaryRows rotary;         // of the rows of the batch
  KvCache* cache = nullptr;  // nullptr: every sequence of the batch is whole and attends to itself (training)

  const ModelConfig& config() const noexcept { return *network.config; }
};

}  // namespace fathom
