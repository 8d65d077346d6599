#include "convert/synth/shapes.h"

#include <fmt/format.h>

#include <array>

namespace fathom {
namespace {

// Source of all numbers: config.json of the published checkpoints (listed in tests/support/published_configs.h); 67B:
// the DeepSeek LLM paper.
void add_common(ModelConfig& c) {
  c.vocab_size = 102400;
  c.rms_norm_eps = 1e-6;
  c.rope_theta = 10000;
  c.bos_token_id = 100000;
  c.eos_token_ids = {100001};
}

void add_experts(ModelConfig& c, int64_t n_routed, int64_t width) {
  c.n_routed_experts = n_routed;
  c.num_experts_per_tok = 6;
  c.n_shared_experts = 2;
  c.moe_intermediate_size = width;
  c.first_k_dense_replace = 1;
}

ModelConfig v2_lite() {
  ModelConfig c;
  add_common(c);
  c.hidden_size = 2048;
  c.num_hidden_layers = 27;
  c.intermediate_size = 10944;
  c.max_position_embeddings = 163840;
  c.num_attention_heads = c.num_key_value_heads = 16;
  c.kv_lora_rank = 512;
  c.qk_nope_head_dim = c.v_head_dim = 128;
  c.qk_rope_head_dim = 64;
  c.rope_scaling =
      YarnScaling{.factor = 40, .original_max_position_embeddings = 4096, .mscale = 0.707, .mscale_all_dim = 0.707};
  add_experts(c, 64, 1408);
  return c;
}

ModelConfig v2() {
  ModelConfig c = v2_lite();
  c.hidden_size = 5120;
  c.num_hidden_layers = 60;
  c.intermediate_size = 12288;
  c.num_attention_heads = c.num_key_value_heads = 128;
  c.q_lora_rank = 1536;
  add_experts(c, 160, 1536);
  c.topk_method = TopkMethod::group_limited_greedy;
  c.n_group = 8;
  c.topk_group = 3;
  c.routed_scaling_factor = 16;
  return c;
}

ModelConfig coder_v2() {
  ModelConfig c = v2();
  c.rope_scaling->mscale = c.rope_scaling->mscale_all_dim = 1.0;  // the one field in which it differs from V2
  return c;
}

ModelConfig grouped(Family family, int64_t hidden, int64_t layers, int64_t heads, int64_t kv_heads, int64_t width) {
  ModelConfig c;
  add_common(c);
  c.family = family;
  c.hidden_size = hidden;
  c.num_hidden_layers = layers;
  c.intermediate_size = width;
  c.max_position_embeddings = 4096;
  c.num_attention_heads = heads;
  c.num_key_value_heads = kv_heads;
  c.head_dim = 128;
  c.rope_layout = RopeLayout::half_split;
  return c;
}

ModelConfig moe_16b() {
  ModelConfig c = grouped(Family::deepseek, 2048, 28, 16, 16, 10944);
  add_experts(c, 64, 1408);
  return c;
}
ModelConfig dense_67b() { return grouped(Family::llama, 8192, 95, 64, 8, 22016); }
ModelConfig dense_7b() { return grouped(Family::llama, 4096, 30, 32, 32, 11008); }

ModelConfig tiny() {
  ModelConfig c = v2();
  c.vocab_size = 1024;
  c.bos_token_id = 1022;
  c.eos_token_ids = {1023};
  c.hidden_size = 128;
  c.num_hidden_layers = 4;
  c.intermediate_size = 256;
  c.max_position_embeddings = 163840;
  c.num_attention_heads = c.num_key_value_heads = 4;
  c.q_lora_rank = 64;
  c.kv_lora_rank = 64;
  c.qk_nope_head_dim = c.v_head_dim = 32;
  c.qk_rope_head_dim = 16;
  add_experts(c, 16, 64);
  c.num_experts_per_tok = 3;
  c.n_group = 4;
  c.topk_group = 2;
  return c;
}

struct NamedShape {
  std::string_view name;
  ModelConfig (*make)();
};
constexpr std::array kShapes = std::to_array<NamedShape>({
    {"v2-lite", v2_lite},
    {"v2", v2},
    {"coder-v2", coder_v2},
    {"moe-16b", moe_16b},
    {"dense-67b", dense_67b},
    {"dense-7b", dense_7b},
    {"tiny", tiny},
});

}  // namespace

std::optional<ModelConfig> shape_by_name(std::string_view name) {
  for (const NamedShape& s : kShapes)
    if (s.name == name) return s.make();
  return std::nullopt;
}

std::string shape_names() {
  std::string names;
  for (const NamedShape& s : kShapes) names += fmt::format("{}{}", names.empty() ? "" : ", ", s.name);
  return names;
}

}  // namespace fathom
