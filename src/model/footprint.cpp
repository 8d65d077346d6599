#include "model/footprint.h"

#include <numeric>

namespace fathom {
namespace {

int64_t elements(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<>());
}

}  // namespace

Footprint footprint(const ModelConfig& c) {
  Footprint f;
  ModelWeights w = empty_weights(c);
  for_each_tensor(w, c, [&](const std::string&, const Weight&, const Shape& shape) {
    f.parameters += elements(shape);
    ++f.tensors;
  });
  const int64_t idle_experts = c.n_moe_layers() * (c.n_routed_experts - c.num_experts_per_tok);
  f.activated_parameters = f.parameters - idle_experts * 3 * c.hidden_size * c.moe_intermediate_size;
  const int64_t embedding =
      c.tie_word_embeddings ? 0 : c.vocab_size * c.hidden_size;  // a tied table is read whole, as the head
  f.activated_parameters_without_embedding = f.activated_parameters - embedding;
  f.cache_elements_per_token = c.num_hidden_layers * c.cache_width();
  const int64_t head = c.uses_mla() ? c.qk_nope_head_dim + c.v_head_dim : 2 * c.head_dim;
  f.mha_cache_elements_per_token = c.num_hidden_layers * c.num_attention_heads * head;
  return f;
}

std::map<DType, int64_t> weight_bytes(const ModelConfig& config, ModelWeights& weights) {
  std::map<DType, int64_t> bytes;
  for_each_tensor(weights, config, [&](const std::string&, const Weight& w, const Shape&) {
    bytes[w.dtype] += w.rows * w.bytes_per_row();
    if (w.scale_inv != nullptr) bytes[DType::f32] += (w.rows + kFp8Block - 1) / kFp8Block * w.scale_cols * 4;
  });
  return bytes;
}

}  // namespace fathom
