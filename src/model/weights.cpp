#include "model/weights.h"

namespace fathom {

ModelWeights empty_weights(const ModelConfig& config, bool split_kv_b) {
  ModelWeights w;
  w.split_kv_b = split_kv_b;
  w.layers.resize(static_cast<size_t>(config.num_hidden_layers));
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    LayerWeights& layer = w.layers[static_cast<size_t>(i)];
    if (!config.uses_mla()) layer.self_attn = GqaWeights{};
    if (config.layer_is_moe(i))
      layer.mlp = MoeWeights{.gate = {},
                             .e_score_correction_bias = {},
                             .experts = std::vector<MlpWeights>(static_cast<size_t>(config.n_routed_experts)),
                             .shared_experts = {}};
  }
  return w;
}

}  // namespace fathom
