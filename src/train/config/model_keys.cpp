#include "train/config/model_keys.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/text/suggest.h"

namespace fathom {
namespace {

using enum Needed;

// clang-format off: a table
constexpr std::array kModelKeys = std::to_array<ModelKey>({
    {"model_type", "text", always, "", "`deepseek_v2`, `deepseek` or `llama`"},
    {"architectures", "list of texts", no, "", "the class that transformers takes, such as `DeepseekV2ForCausalLM`"},
    {"vocab_size", "integer", always, "", "rows of the embedding; at least the tokens of the data's tokenizer"},
    {"hidden_size", "integer", always, "", "width of the residual stream"},
    {"num_hidden_layers", "integer", always, "", "layers"},
    {"intermediate_size", "integer", always, "", "hidden width of dense feed-forward layers"},
    {"max_position_embeddings", "integer", always, "", "longest text that the model is for", OnResume::told},
    {"rms_norm_eps", "number", always, "", "added to the mean square in every norm"},
    {"rope_theta", "number", always, "", "base of the rotary angles"},
    {"num_attention_heads", "integer", always, "", "heads"},
    {"num_key_value_heads", "integer", no, "`num_attention_heads`",
     "smaller for grouped-query attention (not `deepseek_v2`)"},
    {"head_dim", "integer", no, "`hidden_size / num_attention_heads`", "width of a head (not `deepseek_v2`)"},
    {"q_lora_rank", "integer", no, "none", "width of the query latent; left out: queries are projected directly"},
    {"kv_lora_rank", "integer", with_latent_attention, "", "width of the latent that the cache stores"},
    {"qk_nope_head_dim", "integer", with_latent_attention, "", "width of a head's query and key without rotation"},
    {"qk_rope_head_dim", "integer", with_latent_attention, "", "and of the part that rotates; even"},
    {"v_head_dim", "integer", with_latent_attention, "", "width of a head's value"},
    {"n_routed_experts", "integer", no, "none", "experts of a layer; left out: every layer is dense"},
    {"num_experts_per_tok", "integer", with_experts, "", "routed experts chosen for a token"},
    {"n_shared_experts", "integer", no, "0", "experts that every token uses"},
    {"moe_intermediate_size", "integer", with_experts, "", "hidden width of one expert"},
    {"first_k_dense_replace", "integer", with_experts, "", "the first so many layers are dense"},
    {"moe_layer_freq", "integer", no, "1", "every so many layers hold experts"},
    {"topk_method", "text", with_experts, "",
     "`greedy`, `group_limited_greedy` or `noaux_tc` (a score bias); `deepseek`: `greedy` alone"},
    {"n_group", "integer", with_groups, "1", "groups (devices) of experts"},
    {"topk_group", "integer", with_groups, "1", "groups of which a token's experts may come"},
    {"norm_topk_prob", "boolean", no, "false", "divide the chosen scores by their sum"},
    {"routed_scaling_factor", "number", no, "1", "by which they are multiplied"},
    {"scoring_func", "text", no, "`softmax`", "the one there is"},
    {"hidden_act", "text", no, "`silu`", "the one there is"},
    {"attention_bias", "boolean", no, "false", "the one there is"},
    {"tie_word_embeddings", "boolean", no, "false", "the head is the embedding table"},
    {"bos_token_id", "integer", no, "none", "the tokenizer's, if it has one; goes into the checkpoints",
     OnResume::told},
    {"eos_token_id", "integer or list", no, "none", "the tokenizer's, if it has one; goes into the checkpoints",
     OnResume::told},
    {"pad_token_id", "integer", no, "none", "goes into the checkpoints", OnResume::told},
    {"rope_scaling", "table", no, "none", "YaRN: [model.rope_scaling]"},
});

constexpr std::array kRopeScalingKeys = std::to_array<ModelKey>({
    {"type", "text", in_rope_scaling, "", "`yarn`"},
    {"factor", "number", in_rope_scaling, "", "by which the context is longer than the original"},
    {"original_max_position_embeddings", "integer", in_rope_scaling, "", "the original"},
    {"beta_fast", "number", no, "32", "rotations over the original context above which a pair keeps its angle"},
    {"beta_slow", "number", no, "1", "and below which it is divided by `factor`"},
    {"mscale", "number", no, "1", "amplitude of cosine and sine; give both or neither"},
    {"mscale_all_dim", "number", no, "0", "amplitude of the softmax scale"},
});
// clang-format on

bool is_of_type(const json::value& v, std::string_view type) {
  if (type == "integer") return v.is_int64();
  if (type == "number") return v.is_number();
  if (type == "text") return v.is_string();
  if (type == "boolean") return v.is_bool();
  if (type == "table") return v.is_object();
  return v.is_array() || (type.starts_with("integer") && v.is_int64());
}

std::string text_of(const json::object& o, std::string_view key) {
  const json::value* v = o.if_contains(key);
  return v != nullptr && v->is_string() ? std::string(v->get_string()) : std::string();
}

bool applies(Needed needed, const json::object& model) {
  const bool latent = text_of(model, "model_type") == "deepseek_v2";
  const bool experts = model.contains("n_routed_experts") && text_of(model, "model_type") != "llama";
  const std::string method = text_of(model, "topk_method");
  switch (needed) {
    case always:
    case in_rope_scaling:
      return true;
    case with_latent_attention:
      return latent;
    case with_experts:
      return experts;
    case with_groups:
      return experts && !method.empty() && method != "greedy";
    case no:
      break;
  }
  return false;
}

const ModelKey* find_key(std::string_view name) {
  const auto* found =
      std::find_if(kModelKeys.begin(), kModelKeys.end(), [&](const ModelKey& k) { return k.name == name; });
  return found == kModelKeys.end() ? nullptr : found;
}

// The key of the file that a missing one was probably meant by.
std::string misspelling_of(std::string_view missing, const json::object& model) {
  const std::string name(missing);
  for (const auto& [key, value] : model)
    if (find_key(key) == nullptr && !did_you_mean(std::string_view(key), {&name, 1}).empty())
      return fmt::format("; {} is not known: is it meant?", quoted_for_message(key));
  return "";
}

bool is_given(const ModelKey& k, const json::object& model) {
  if (model.contains(k.name)) return true;
  if (k.name == "rope_theta") return model.contains("rope_parameters");  // the layout of newer config.json files
  return k.name == "topk_method" && text_of(model, "model_type") == "deepseek";
}

bool check_keys(const json::object& model, ConfigProblems& problems) {
  bool whole = true;
  for (const ModelKey& k : kModelKeys) {
    if (!is_given(k, model)) {
      if (!applies(k.needed, model)) continue;
      whole = false;
      problems.add("model",
                   fmt::format("the key {} is missing: {}{}", k.name, k.meaning, misspelling_of(k.name, model)));
    } else if (const json::value* v = model.if_contains(k.name); v != nullptr && !is_of_type(*v, k.type)) {
      whole = false;
      problems.add("model", must_be(k.name, json_kind_name(*v), fmt::format("of type {}", k.type)));
    }
  }
  return whole;
}

// What is wrong with the table, without the place, which is told once for all; nothing: the config is read.
std::string refusal_of(const json::object& model, const std::string& where, ModelConfig& config) {
  try {
    config = config_from_json(json::serialize(model), where);
    return "";
  } catch (const Error& e) {
    const std::string text = e.what(), place = where + ": ";
    return text.starts_with(place) ? text.substr(place.size()) : text;
  }
}

}  // namespace

std::span<const ModelKey> model_keys() { return kModelKeys; }
std::span<const ModelKey> rope_scaling_keys() { return kRopeScalingKeys; }

ModelConfig read_model_section(const json::object& section, const std::string& where, ConfigProblems& problems) {
  ModelConfig config, ignored;
  if (!check_keys(section, problems)) return config;
  const std::string refusal = refusal_of(section, where, config);
  if (refusal.empty()) return config;
  json::object listed;
  for (const auto& [key, value] : section)
    if (find_key(key) != nullptr) listed[key] = value;
  // Where the fault is in keys beside the list, each of them is tried alone, so that all are told.
  if (!refusal_of(listed, where, ignored).empty()) {
    problems.add("model", refusal);
    return {};
  }
  for (const auto& [key, value] : section) {
    if (find_key(key) != nullptr) continue;
    json::object with = listed;
    with[key] = value;
    if (const std::string alone = refusal_of(with, where, ignored); !alone.empty()) problems.add("model", alone);
  }
  return {};
}

}  // namespace fathom
