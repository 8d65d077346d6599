// The weights of a model: structs named as the checkpoint names them, and one walk over all of them.
//
// Every member is a Weight: a view of bytes that the TensorSource (or, in training, a buffer) owns. Matrices are [out,
// in]: y = x W^T. Letters: src/config/config.h.
#pragma once
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "config/config.h"
#include "tensor/weight.h"

namespace fathom {

// Outermost first, as in the file. Norms have one dimension.
using Shape = std::vector<int64_t>;

// SwiGLU feed-forward of width F.
struct MlpWeights {
  Weight gate_proj, up_proj;  // (F, D)
  Weight down_proj;           // (D, F)
};

struct MoeWeights {
  Weight gate;                      // (E, D): the router, not to be confused with gate_proj
  Weight e_score_correction_bias;   // (E); empty unless config.has_score_bias()
  std::vector<MlpWeights> experts;  // E of width moe_intermediate_size
  MlpWeights shared_experts;  // one MLP of width n_shared_experts * moe_intermediate_size; empty when there are none
};

// Latent attention. Either q_proj, or the three of the query latent; either kv_b_proj, or k_b_proj and v_b_proj.
struct MlaWeights {
  Weight q_proj;              // (H * (N + R), D); head-major, in each head N rows without rotation first
  Weight q_a_proj;            // (Q, D)
  Weight q_a_layernorm;       // (Q)
  Weight q_b_proj;            // (H * (N + R), Q); rows as q_proj
  Weight kv_a_proj_with_mqa;  // (C + R, D); latent rows first
  Weight kv_a_layernorm;      // (C)
  Weight kv_b_proj;           // (H * (N + V), C); in each head N key rows first
  Weight
      k_b_proj;  // (H * C, N): of each head the key part of kv_b_proj transposed, so that it folds the query directly
  Weight v_b_proj;  // (H * V, C): of each head the value part of kv_b_proj
  Weight o_proj;    // (D, H * V)
  // The key part of kv_b_proj once more, where weights are packed (packing/latent_products.h); `packed` alone, no data:
  Weight fold_key;    // (H * C, N): what k_b_proj is
  Weight expand_key;  // (H * N, C): k_b_proj transposed in each head
};

// Grouped-query attention; H == num_key_value_heads is multi-head attention. G num_key_value_heads, d head_dim.
struct GqaWeights {
  Weight q_proj;          // (H * d, D); rows of a head in the order of config.rope_layout
  Weight k_proj, v_proj;  // (G * d, D)
  Weight o_proj;          // (D, H * d)
};

struct LayerWeights {
  Weight input_layernorm;                          // (D)
  std::variant<MlaWeights, GqaWeights> self_attn;  // by config.uses_mla()
  Weight post_attention_layernorm;                 // (D)
  std::variant<MlpWeights, MoeWeights> mlp;        // by config.layer_is_moe(layer)
};

struct ModelWeights {
  Weight embed_tokens;  // (vocab_size, D)
  std::vector<LayerWeights> layers;
  Weight norm;     // (D)
  Weight lm_head;  // (vocab_size, D); a second view of embed_tokens when tie_word_embeddings
  // How kv_b_proj is stored: Hugging Face files and older GGUF files hold it whole, newer GGUF files as k_b_proj and
  // v_b_proj.
  bool split_kv_b = false;
};

// The same tree with every alternative chosen and every vector sized, and no bytes yet.
ModelWeights empty_weights(const ModelConfig& config, bool split_kv_b = false);

// fn(name, Weight&, Shape) for every tensor that a model of this config has, each once, in the order of a forward pass.
// Names are those of the Hugging Face checkpoint ("model.layers.0.self_attn.o_proj.weight"); k_b_proj and v_b_proj,
// which it does not know, are named alike. A tied lm_head is not a tensor of its own and is not visited.
template <class Fn>
void for_each_tensor(MlpWeights& w, const ModelConfig& c, int64_t F, const std::string& prefix, Fn&& fn) {
  fn(prefix + "gate_proj.weight", w.gate_proj, Shape{F, c.hidden_size});
  fn(prefix + "up_proj.weight", w.up_proj, Shape{F, c.hidden_size});
  fn(prefix + "down_proj.weight", w.down_proj, Shape{c.hidden_size, F});
}

template <class Fn>
void for_each_tensor(MoeWeights& w, const ModelConfig& c, const std::string& prefix, Fn&& fn) {
  fn(prefix + "gate.weight", w.gate, Shape{c.n_routed_experts, c.hidden_size});
  if (c.has_score_bias())
    fn(prefix + "gate.e_score_correction_bias", w.e_score_correction_bias, Shape{c.n_routed_experts});
  for (size_t e = 0; e < w.experts.size(); ++e)
    for_each_tensor(w.experts[e], c, c.moe_intermediate_size, prefix + "experts." + std::to_string(e) + ".", fn);
  if (c.n_shared_experts > 0)
    for_each_tensor(w.shared_experts, c, c.n_shared_experts * c.moe_intermediate_size, prefix + "shared_experts.", fn);
}

template <class Fn>
void for_each_tensor(MlaWeights& w, const ModelConfig& c, bool split_kv_b, const std::string& prefix, Fn&& fn) {
  const int64_t D = c.hidden_size, H = c.num_attention_heads, C = c.kv_lora_rank;
  const int64_t N = c.qk_nope_head_dim, R = c.qk_rope_head_dim, V = c.v_head_dim;
  if (c.q_lora_rank) {
    fn(prefix + "q_a_proj.weight", w.q_a_proj, Shape{*c.q_lora_rank, D});
    fn(prefix + "q_a_layernorm.weight", w.q_a_layernorm, Shape{*c.q_lora_rank});
    fn(prefix + "q_b_proj.weight", w.q_b_proj, Shape{H * (N + R), *c.q_lora_rank});
  } else {
    fn(prefix + "q_proj.weight", w.q_proj, Shape{H * (N + R), D});
  }
  fn(prefix + "kv_a_proj_with_mqa.weight", w.kv_a_proj_with_mqa, Shape{C + R, D});
  fn(prefix + "kv_a_layernorm.weight", w.kv_a_layernorm, Shape{C});
  if (split_kv_b) {
    fn(prefix + "k_b_proj.weight", w.k_b_proj, Shape{H * C, N});
    fn(prefix + "v_b_proj.weight", w.v_b_proj, Shape{H * V, C});
  } else {
    fn(prefix + "kv_b_proj.weight", w.kv_b_proj, Shape{H * (N + V), C});
  }
  fn(prefix + "o_proj.weight", w.o_proj, Shape{D, H * V});
}

template <class Fn>
void for_each_tensor(GqaWeights& w, const ModelConfig& c, const std::string& prefix, Fn&& fn) {
  const int64_t D = c.hidden_size, q_rows = c.num_attention_heads * c.head_dim,
                kv_rows = c.num_key_value_heads * c.head_dim;
  fn(prefix + "q_proj.weight", w.q_proj, Shape{q_rows, D});
  fn(prefix + "k_proj.weight", w.k_proj, Shape{kv_rows, D});
  fn(prefix + "v_proj.weight", w.v_proj, Shape{kv_rows, D});
  fn(prefix + "o_proj.weight", w.o_proj, Shape{D, q_rows});
}

template <class Fn>
void for_each_tensor(ModelWeights& w, const ModelConfig& c, Fn&& fn) {
  const int64_t D = c.hidden_size;
  fn(std::string("model.embed_tokens.weight"), w.embed_tokens, Shape{c.vocab_size, D});
  for (size_t i = 0; i < w.layers.size(); ++i) {
    LayerWeights& layer = w.layers[i];
    const std::string prefix = "model.layers." + std::to_string(i) + ".";
    fn(prefix + "input_layernorm.weight", layer.input_layernorm, Shape{D});
    if (auto* mla = std::get_if<MlaWeights>(&layer.self_attn))
      for_each_tensor(*mla, c, w.split_kv_b, prefix + "self_attn.", fn);
    else
      for_each_tensor(std::get<GqaWeights>(layer.self_attn), c, prefix + "self_attn.", fn);
    fn(prefix + "post_attention_layernorm.weight", layer.post_attention_layernorm, Shape{D});
    if (auto* mlp = std::get_if<MlpWeights>(&layer.mlp))
      for_each_tensor(*mlp, c, c.intermediate_size, prefix + "mlp.", fn);
    else
      for_each_tensor(std::get<MoeWeights>(layer.mlp), c, prefix + "mlp.", fn);
  }
  fn(std::string("model.norm.weight"), w.norm, Shape{D});
  if (!c.tie_word_embeddings) fn(std::string("lm_head.weight"), w.lm_head, Shape{c.vocab_size, D});
}

}  // namespace fathom
