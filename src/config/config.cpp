#include "config/config.h"

#include <cmath>

#include "base/error.h"

namespace fathom {

std::string_view name(Family family) noexcept {
  switch (family) {
    case Family::deepseek_v2:
      return "deepseek_v2";
    case Family::deepseek:
      return "deepseek";
    case Family::llama:
      break;
  }
  return "llama";
}

std::string_view name(TopkMethod method) noexcept {
  switch (method) {
    case TopkMethod::greedy:
      return "greedy";
    case TopkMethod::group_limited_greedy:
      return "group_limited_greedy";
    case TopkMethod::noaux_tc:
      break;
  }
  return "noaux_tc";
}

int64_t ModelConfig::n_moe_layers() const noexcept {
  int64_t n = 0;
  for (int64_t i = 0; i < num_hidden_layers; ++i) n += layer_is_moe(i);
  return n;
}

namespace {

// Bounds far above any model of the family. Together they keep every size of a tensor below 2^51 elements and the tree
// of weights below 100 MB, so that a broken config cannot make the loader allocate without end.
constexpr int64_t kMaxWidth = 1 << 20, kMaxVocab = 1 << 24, kMaxLayers = 1 << 12, kMaxHeads = 1 << 12,
                  kMaxHeadDim = 1 << 14;
constexpr int64_t kMaxExperts = 1 << 14, kMaxExpertsInAllLayers = 1 << 18, kMaxPositions = int64_t{1} << 32;

class Checker {
 public:
  explicit Checker(const std::string& where) : where_(where) {}

  void size(const char* field, int64_t value, int64_t max) const {
    if (value < 1 || value > max)
      throw_bad_input("{}: {} is {}; it must be between 1 and {}", where_, field, value, max);
  }
  void even(const char* field, int64_t value) const {
    if (value % 2 != 0)
      throw_bad_input("{}: {} is {}; it must be even, because numbers rotate in pairs", where_, field, value);
  }
  void divides(const char* part, int64_t divisor, const char* whole, int64_t value) const {
    if (value % divisor != 0)
      throw_bad_input("{}: {} ({}) is not a multiple of {} ({})", where_, whole, value, part, divisor);
  }
  void at_most(const char* small, int64_t a, const char* large, int64_t b) const {
    if (a > b) throw_bad_input("{}: {} ({}) is more than {} ({})", where_, small, a, large, b);
  }
  void range(const char* field, double value, double low, double high) const {
    if (!(value >= low && value <= high))
      throw_bad_input("{}: {} is {}; it must be between {} and {}", where_, field, value, low, high);
  }

 private:
  const std::string& where_;
};

void validate_attention(const ModelConfig& c, const Checker& is) {
  is.size("num_attention_heads", c.num_attention_heads, kMaxHeads);
  is.size("num_key_value_heads", c.num_key_value_heads, kMaxHeads);
  if (c.uses_mla()) {
    if (c.q_lora_rank) is.size("q_lora_rank", *c.q_lora_rank, kMaxWidth);
    is.size("kv_lora_rank", c.kv_lora_rank, kMaxWidth);
    is.size("qk_nope_head_dim", c.qk_nope_head_dim, kMaxHeadDim);
    is.size("qk_rope_head_dim", c.qk_rope_head_dim, kMaxHeadDim);
    is.size("v_head_dim", c.v_head_dim, kMaxHeadDim);
    is.even("qk_rope_head_dim", c.qk_rope_head_dim);
  } else {
    is.size("head_dim", c.head_dim, kMaxHeadDim);
    is.even("head_dim", c.head_dim);
    is.divides("num_key_value_heads", c.num_key_value_heads, "num_attention_heads", c.num_attention_heads);
  }
}

void validate_rope(const ModelConfig& c, const Checker& is, const std::string& where) {
  is.range("rope_theta", c.rope_theta, 1.0 + 1e-6, 1e12);
  if (!c.rope_scaling) return;
  const YarnScaling& y = *c.rope_scaling;
  if (!c.uses_mla())
    throw_unsupported("{}: rope scaling is supported for deepseek_v2 only, not for {}", where, name(c.family));
  is.range("rope factor", y.factor, 1, 1e6);
  is.size("original_max_position_embeddings", y.original_max_position_embeddings, kMaxPositions);
  is.range("beta_fast", y.beta_fast, 1e-6, 1e6);
  is.range("beta_slow", y.beta_slow, 1e-6, 1e6);
  if (y.beta_slow > y.beta_fast)
    throw_bad_input("{}: beta_slow ({}) is more than beta_fast ({})", where, y.beta_slow, y.beta_fast);
  is.range("mscale", y.mscale, 0, 100);
  is.range("mscale_all_dim", y.mscale_all_dim, 0, 100);
}

void validate_experts(const ModelConfig& c, const Checker& is) {
  is.size("n_routed_experts", c.n_routed_experts, kMaxExperts);
  is.at_most("num_hidden_layers * n_routed_experts", c.num_hidden_layers * c.n_routed_experts, "the limit",
             kMaxExpertsInAllLayers);
  is.size("num_experts_per_tok", c.num_experts_per_tok, kMaxExperts);
  is.at_most("num_experts_per_tok", c.num_experts_per_tok, "n_routed_experts", c.n_routed_experts);
  is.size("moe_intermediate_size", c.moe_intermediate_size, kMaxWidth);
  if (c.n_shared_experts != 0) is.size("n_shared_experts", c.n_shared_experts, kMaxExperts);
  is.at_most("n_shared_experts * moe_intermediate_size", c.n_shared_experts * c.moe_intermediate_size, "the limit",
             kMaxWidth);
  if (c.first_k_dense_replace != 0) is.size("first_k_dense_replace", c.first_k_dense_replace, kMaxLayers);
  is.size("moe_layer_freq", c.moe_layer_freq, kMaxLayers);
  is.size("n_group", c.n_group, kMaxExperts);
  is.size("topk_group", c.topk_group, kMaxExperts);
  is.divides("n_group", c.n_group, "n_routed_experts", c.n_routed_experts);
  is.at_most("topk_group", c.topk_group, "n_group", c.n_group);
  if (c.topk_method == TopkMethod::noaux_tc && c.n_group > 1)  // a group's score is the sum of its two best
    is.at_most("2 * n_group", 2 * c.n_group, "n_routed_experts", c.n_routed_experts);
  is.at_most("num_experts_per_tok", c.num_experts_per_tok, "the experts of topk_group groups",
             c.topk_group * (c.n_routed_experts / c.n_group));
  is.range("routed_scaling_factor", c.routed_scaling_factor, 1e-6, 1e6);
}

}  // namespace

void validate(const ModelConfig& c, const std::string& where) {
  const Checker is(where);
  is.size("vocab_size", c.vocab_size, kMaxVocab);
  is.size("hidden_size", c.hidden_size, kMaxWidth);
  is.size("num_hidden_layers", c.num_hidden_layers, kMaxLayers);
  is.size("intermediate_size", c.intermediate_size, kMaxWidth);
  is.size("max_position_embeddings", c.max_position_embeddings, kMaxPositions);
  is.range("rms_norm_eps", c.rms_norm_eps, 1e-12, 0.1);
  validate_attention(c, is);
  validate_rope(c, is, where);
  if (c.n_routed_experts != 0) validate_experts(c, is);
}

}  // namespace fathom
