// What a model is, as its checkpoint says. Fields are spelled as in config.json; every key of a file is used, checked
// against the one value that fathom implements, or known to be without meaning for the forward pass. Anything else is
// refused by name: nothing is guessed.
//
// Letters that the files of src/model use:   D hidden_size   H num_attention_heads   Q q_lora_rank   C kv_lora_rank
// N qk_nope_head_dim   R qk_rope_head_dim   V v_head_dim   L num_hidden_layers   F intermediate_size or
// moe_intermediate_size E n_routed_experts   K num_experts_per_tok
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

enum class Family : uint8_t {
  deepseek_v2,  // latent attention, mixture of experts: V2, V2-Lite, Chat, Coder-V2, V2.5
  deepseek,     // multi-head attention, mixture of experts: DeepSeekMoE 16B
  llama,        // grouped-query attention, dense: DeepSeek LLM 7B and 67B
};
std::string_view name(Family family) noexcept;  // the model_type of config.json

// Which two numbers of a head rotate together. A property of the stored q and k rows: Hugging Face files of deepseek
// and llama hold half_split rows, GGUF files of the same models hold them permuted to interleaved; deepseek_v2 is
// interleaved in both.
enum class RopeLayout : uint8_t {
  interleaved,  // (x[2i], x[2i+1])
  half_split,   // (x[i], x[i + d/2])
};

// noaux_tc: a bias per expert, which balances the load, is added to the scores for the choice alone (router.h).
enum class TopkMethod : uint8_t { greedy, group_limited_greedy, noaux_tc };
std::string_view name(TopkMethod method) noexcept;  // as config.json spells it

// YaRN. With m(a) = 0.1 * a * ln(factor) + 1 for factor > 1, else 1:
//     cos and sin are multiplied by m(mscale) / m(mscale_all_dim), the softmax scale by m(mscale_all_dim)^2.
// An absent mscale is 1 and an absent mscale_all_dim is 0, as in DeepSeek's code; m(0) = 1 then says "not applied" by
// itself.
struct YarnScaling {
  double factor = 1;
  int64_t original_max_position_embeddings = 0;
  double beta_fast = 32, beta_slow = 1;
  double mscale = 1, mscale_all_dim = 0;

  bool operator==(const YarnScaling&) const = default;
};

struct ModelConfig {
  Family family = Family::deepseek_v2;
  int64_t vocab_size = 0;
  int64_t hidden_size = 0;
  int64_t num_hidden_layers = 0;
  int64_t intermediate_size = 0;  // of dense layers
  int64_t max_position_embeddings = 0;
  double rms_norm_eps = 1e-6;  // of every norm, the latent ones included
  bool tie_word_embeddings = false;

  // Attention. deepseek_v2 uses the five widths of latent attention; the others num_key_value_heads and head_dim.
  int64_t num_attention_heads = 0;
  int64_t num_key_value_heads = 0;     // deepseek_v2: equal to num_attention_heads
  int64_t head_dim = 0;                // deepseek, llama: width of q, k and v per head; deepseek_v2: 0
  std::optional<int64_t> q_lora_rank;  // absent: q_proj reads the hidden state directly
  int64_t kv_lora_rank = 0;
  int64_t qk_nope_head_dim = 0, qk_rope_head_dim = 0;
  int64_t v_head_dim = 0;

  double rope_theta = 10000;
  std::optional<YarnScaling> rope_scaling;  // deepseek_v2 only
  RopeLayout rope_layout = RopeLayout::interleaved;

  // Mixture of experts; n_routed_experts == 0: every layer is dense and the rest is without meaning.
  int64_t n_routed_experts = 0;
  int64_t num_experts_per_tok = 0;
  int64_t n_shared_experts = 0;       // stored as one MLP of width n_shared_experts * moe_intermediate_size; 0: none
  int64_t moe_intermediate_size = 0;  // of one expert
  int64_t first_k_dense_replace = 0;
  int64_t moe_layer_freq = 1;
  TopkMethod topk_method = TopkMethod::greedy;
  int64_t n_group = 1, topk_group = 1;  // greedy: 1, 1
  bool norm_topk_prob = false;  // divide the chosen scores by their sum + 1e-20, then multiply by routed_scaling_factor
  double routed_scaling_factor = 1;

  // Facts about text that config.json carries; absent where the file has none.
  std::optional<int64_t> bos_token_id, pad_token_id;
  std::vector<int64_t> eos_token_ids;

  bool uses_mla() const noexcept { return family == Family::deepseek_v2; }
  // Whether layer i holds experts: i >= first_k_dense_replace and i a multiple of moe_layer_freq.
  bool layer_is_moe(int64_t layer) const noexcept {
    return n_routed_experts > 0 && layer >= first_k_dense_replace && layer % moe_layer_freq == 0;
  }
  int64_t n_moe_layers() const noexcept;
  // Whether gates are divided by their sum. As in DeepSeek's code, norm_topk_prob does nothing to a single expert.
  bool normalises_gates() const noexcept { return norm_topk_prob && num_experts_per_tok > 1; }
  // Whether each router has an e_score_correction_bias.
  bool has_score_bias() const noexcept { return n_routed_experts > 0 && topk_method == TopkMethod::noaux_tc; }
  // Width of a query or key per head: N + R, or head_dim.
  int64_t qk_head_dim() const noexcept { return uses_mla() ? qk_nope_head_dim + qk_rope_head_dim : head_dim; }
  // How many numbers of a head rotate: R, or head_dim.
  int64_t rope_dim() const noexcept { return uses_mla() ? qk_rope_head_dim : head_dim; }
  // Width of a value per head: V, or head_dim.
  int64_t value_head_dim() const noexcept { return uses_mla() ? v_head_dim : head_dim; }
  // Numbers kept per token and layer: C + R, or 2 * num_key_value_heads * head_dim.
  int64_t cache_width() const noexcept {
    return uses_mla() ? kv_lora_rank + qk_rope_head_dim : 2 * num_key_value_heads * head_dim;
  }

  bool operator==(const ModelConfig&) const = default;
};

// Throws bad_input naming `where`, the field and what it needs: zero, negative or huge sizes, groups that do not
// divide, more experts chosen than there are, NaN. Every config that the readers return has passed it; after it, no
// product of two sizes of a tensor overflows int64.
void validate(const ModelConfig& config, const std::string& where);

// Reads the text of a config.json, in both layouts: rope_scaling + rope_theta, and rope_parameters; a file may have
// both where they agree. A null says nothing. `where` is the file, for messages; the keys that were passed over
// (ignored_keys.h) are added to `ignored`.
ModelConfig config_from_json(std::string_view text, const std::string& where,
                             std::vector<std::string>* ignored = nullptr);

// A config.json that transformers reads as its own class, in old releases (rope_scaling + rope_theta) and new ones
// (which convert it). torch_dtype: "bfloat16", "float32", "float16"; f8_blocks: the weights are F8_E4M3 with
// weight_scale_inv, which quantization_config says.
std::string config_to_json(const ModelConfig& config, std::string_view torch_dtype, bool f8_blocks = false);

}  // namespace fathom
