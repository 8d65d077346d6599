// The configs of small models. A test takes the one that is nearest and says what differs.
#pragma once
#include "config/config.h"

namespace fathom::testing {

// V2 in everything: query latent, YaRN, groups of experts, dense first layer. Widths are multiples of nothing.
inline ModelConfig tiny_v2_config() {
  ModelConfig c;
  c.family = Family::deepseek_v2;
  c.vocab_size = 97;
  c.hidden_size = 48;
  c.num_hidden_layers = 3;
  c.intermediate_size = 64;
  c.max_position_embeddings = 4096;
  c.num_attention_heads = c.num_key_value_heads = 4;
  c.q_lora_rank = 24;
  c.kv_lora_rank = 20;
  c.qk_nope_head_dim = 12;
  c.qk_rope_head_dim = 8;
  c.v_head_dim = 10;
  c.rope_scaling =
      YarnScaling{.factor = 40, .original_max_position_embeddings = 64, .mscale = 0.707, .mscale_all_dim = 0.707};
  c.n_routed_experts = 8;
  c.num_experts_per_tok = 3;
  c.n_shared_experts = 2;
  c.moe_intermediate_size = 16;
  c.first_k_dense_replace = 1;
  c.topk_method = TopkMethod::group_limited_greedy;
  c.n_group = 4;
  c.topk_group = 2;
  c.routed_scaling_factor = 4;
  return c;
}

// Widths whose q8_0 rows can be packed.
inline ModelConfig packable_v2_config() {
  ModelConfig c = tiny_v2_config();
  c.hidden_size = 64;
  c.q_lora_rank = 32;
  c.kv_lora_rank = 32;
  c.v_head_dim = 16;
  c.moe_intermediate_size = 32;
  return c;
}

inline ModelConfig tiny_llama_config() {
  ModelConfig c;
  c.family = Family::llama;
  c.vocab_size = 97;
  c.hidden_size = 48;
  c.num_hidden_layers = 3;
  c.intermediate_size = 80;
  c.max_position_embeddings = 4096;
  c.num_attention_heads = 6;
  c.num_key_value_heads = 2;
  c.head_dim = 8;
  c.rope_layout = RopeLayout::half_split;
  return c;
}

// A model of any family with the ids of a synthetic vocabulary, as synth_model makes one: two layers, the experts of
// Lite.
inline ModelConfig small_config(Family family) {
  ModelConfig c;
  c.family = family;
  c.vocab_size = 384;
  c.hidden_size = 64;
  c.num_hidden_layers = 2;
  c.intermediate_size = 96;
  c.max_position_embeddings = 64;
  c.num_attention_heads = c.num_key_value_heads = 4;
  c.bos_token_id = 382;
  c.eos_token_ids = {383};
  if (family == Family::deepseek_v2) {
    c.kv_lora_rank = 40;
    c.qk_nope_head_dim = 24;
    c.qk_rope_head_dim = 8;
    c.v_head_dim = 20;
    c.rope_scaling =
        YarnScaling{.factor = 40, .original_max_position_embeddings = 64, .mscale = 0.707, .mscale_all_dim = 0.707};
  } else {
    c.num_key_value_heads = 2;
    c.head_dim = 16;
    c.rope_layout = RopeLayout::half_split;
  }
  if (family == Family::llama) return c;
  c.n_routed_experts = 4;
  c.num_experts_per_tok = 2;
  c.n_shared_experts = 2;
  c.moe_intermediate_size = 32;
  c.first_k_dense_replace = 1;
  return c;
}

}  // namespace fathom::testing
