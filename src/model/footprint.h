// How many numbers and bytes a model has: its weights, and its cache per token.
#pragma once
#include <cstdint>
#include <map>

#include "config/config.h"
#include "model/weights.h"

namespace fathom {

// DeepSeek 67B (grouped-query attention, 8 key/value heads of 128, 95 layers): what the V2 report compares its cache
// with.
inline constexpr int64_t kDense67BCacheElements = 2 * 8 * 128 * 95;

// From the config alone. "Activated" is what one token is multiplied with: num_experts_per_tok of the routed experts,
// all else whole.
struct Footprint {
  int64_t parameters = 0;
  int64_t activated_parameters = 0;                    // with the embedding table and the head
  int64_t activated_parameters_without_embedding = 0;  // without the input table, of which a token reads one row
  int64_t tensors = 0;
  int64_t cache_elements_per_token = 0;  // all layers: L * cache_width()
  int64_t mha_cache_elements_per_token =
      0;  // of full multi-head attention with the same heads: L * H * (N + V), or L * H * 2 * head_dim
};
Footprint footprint(const ModelConfig& config);

// Bytes of the weights by element type, FP8 scales as f32; a tied head counts once.
std::map<DType, int64_t> weight_bytes(const ModelConfig& config, ModelWeights& weights);

}  // namespace fathom
