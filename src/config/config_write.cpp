#include "base/json/json.h"
#include "config/config.h"

namespace fathom {
namespace {

json::value or_null(const std::optional<int64_t>& v) { return v ? json::value(*v) : json::value(nullptr); }

json::value eos_value(const std::vector<int64_t>& ids) {
  if (ids.empty()) return nullptr;
  if (ids.size() == 1) return ids[0];
  return json::array(ids.begin(), ids.end());
}

void write_attention(json::object& o, const ModelConfig& c) {
  o["num_attention_heads"] = c.num_attention_heads;
  o["num_key_value_heads"] = c.num_key_value_heads;
  o["attention_bias"] = false;
  o["attention_dropout"] = 0.0;
  if (!c.uses_mla()) {
    if (c.head_dim * c.num_attention_heads != c.hidden_size || c.family == Family::llama) o["head_dim"] = c.head_dim;
    return;
  }
  o["q_lora_rank"] = or_null(c.q_lora_rank);
  o["kv_lora_rank"] = c.kv_lora_rank;
  o["qk_nope_head_dim"] = c.qk_nope_head_dim;
  o["qk_rope_head_dim"] = c.qk_rope_head_dim;
  o["v_head_dim"] = c.v_head_dim;
}

// rope_theta + rope_scaling: old releases know nothing else, and new ones convert it.
void write_rope(json::object& o, const ModelConfig& c) {
  o["rope_theta"] = c.rope_theta;
  if (!c.rope_scaling) {
    o["rope_scaling"] = nullptr;
    return;
  }
  const YarnScaling& y = *c.rope_scaling;
  json::object yarn{
      {"type", "yarn"},           {"rope_type", "yarn"},
      {"factor", y.factor},       {"original_max_position_embeddings", y.original_max_position_embeddings},
      {"beta_fast", y.beta_fast}, {"beta_slow", y.beta_slow}};
  if (y.mscale_all_dim != 0) {
    yarn["mscale"] = y.mscale;
    yarn["mscale_all_dim"] = y.mscale_all_dim;
  }
  o["rope_scaling"] = std::move(yarn);
}

void write_experts(json::object& o, const ModelConfig& c) {
  if (c.n_routed_experts == 0) {
    o["first_k_dense_replace"] = c.num_hidden_layers;  // what transformers understands: every layer is dense
    return;
  }
  o["n_routed_experts"] = c.n_routed_experts;
  o["n_shared_experts"] = c.n_shared_experts;
  o["num_experts_per_tok"] = c.num_experts_per_tok;
  o["moe_intermediate_size"] = c.moe_intermediate_size;
  o["first_k_dense_replace"] = c.first_k_dense_replace;
  o["moe_layer_freq"] = c.moe_layer_freq;
  o["norm_topk_prob"] = c.norm_topk_prob;
  o["scoring_func"] = "softmax";
  if (c.uses_mla()) {
    o["topk_method"] = name(c.topk_method);
    o["n_group"] = c.n_group;
    o["topk_group"] = c.topk_group;
  }
  if (c.uses_mla() || c.routed_scaling_factor != 1) o["routed_scaling_factor"] = c.routed_scaling_factor;
}

const char* architecture(Family family) {
  switch (family) {
    case Family::deepseek_v2:
      return "DeepseekV2ForCausalLM";
    case Family::deepseek:
      return "DeepseekForCausalLM";
    case Family::llama:
      break;
  }
  return "LlamaForCausalLM";
}

}  // namespace

std::string config_to_json(const ModelConfig& c, std::string_view torch_dtype, bool f8_blocks) {
  json::object o{{"architectures", json::array{architecture(c.family)}}, {"model_type", name(c.family)}};
  o["vocab_size"] = c.vocab_size;
  o["hidden_size"] = c.hidden_size;
  o["num_hidden_layers"] = c.num_hidden_layers;
  o["intermediate_size"] = c.intermediate_size;
  o["max_position_embeddings"] = c.max_position_embeddings;
  o["hidden_act"] = "silu";
  o["rms_norm_eps"] = c.rms_norm_eps;
  o["initializer_range"] = 0.02;
  write_attention(o, c);
  write_rope(o, c);
  if (c.family != Family::llama) write_experts(o, c);
  o["tie_word_embeddings"] = c.tie_word_embeddings;
  o["bos_token_id"] = or_null(c.bos_token_id);
  o["eos_token_id"] = eos_value(c.eos_token_ids);
  if (c.pad_token_id) o["pad_token_id"] = *c.pad_token_id;
  o["torch_dtype"] = torch_dtype;
  o["use_cache"] = true;
  if (f8_blocks)
    o["quantization_config"] = json::object{{"quant_method", "fp8"},
                                            {"fmt", "e4m3"},
                                            {"weight_block_size", json::array{128, 128}},
                                            {"activation_scheme", "dynamic"}};
  return to_pretty_json(o);
}

}  // namespace fathom
