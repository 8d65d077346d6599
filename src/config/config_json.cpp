// config.json -> ModelConfig. Key by key: what is used stands in read_*; what must have one value in kSingleValued;
// what does not touch the forward pass in ignored_keys.cpp, each with its reason.
#include <algorithm>
#include <array>
#include <cmath>

#include "base/error.h"
#include "base/json/json_fields.h"
#include "base/text/suggest.h"
#include "config/config.h"
#include "config/ignored_keys.h"

namespace fathom {
namespace {

// A key that fathom implements for one value only.
struct SingleValued {
  std::string_view key;
  std::string_view json;  // the value, as JSON
  std::string_view why;
};
constexpr std::array kSingleValued = std::to_array<SingleValued>({
    {"hidden_act", R"("silu")", "the feed-forward layers are SwiGLU"},
    {"scoring_func", R"("softmax")", "sigmoid scores are DeepSeek-V3"},
    {"attention_bias", "false", "no projection has a bias"},
    {"mlp_bias", "false", "no projection has a bias"},
    {"is_encoder_decoder", "false", "the models are decoders"},
    {"is_decoder", "false", "the models have no cross attention"},
    {"add_cross_attention", "false", "the models have no cross attention"},
    {"chunk_size_feed_forward", "0", "feed-forward layers run whole"},
    {"partial_rotary_factor", "1.0", "the whole rotary part rotates"},
    {"rope_interleave", "true", "the rotary rows of deepseek_v2 are interleaved"},
    {"num_nextn_predict_layers", "0", "multi-token prediction layers are DeepSeek-V3"},
    {"use_sliding_window", "false", "every token attends to all before it"},
    {"use_qk_norm", "false", "queries and keys have no norm of their own"},
    {"qk_layernorm", "false", "queries and keys have no norm of their own"},
    {"use_bidirectional_attention", "false", "the models are decoders"},
    {"embedding_multiplier", "1.0", "nothing is scaled"},
    {"residual_multiplier", "1.0", "nothing is scaled"},
    {"logits_scaling", "1.0", "nothing is scaled"},
    {"attn_logit_softcapping", "0.0", "logits are not capped"},
    {"final_logit_softcapping", "0.0", "logits are not capped"},
});

std::string shown(const json::value& found) {
  const json::string* text = found.if_string();
  return quoted_for_message(text != nullptr ? std::string_view(*text) : json::serialize(found), 60);
}

bool same_value(const json::value& found, const json::value& wanted) {
  if (found.is_number() && wanted.is_number()) return found.to_number<double>() == wanted.to_number<double>();
  return found == wanted;
}

void check_single_valued(JsonFields& f, const SingleValued& rule) {
  const json::value* found = f.maybe_value(rule.key);
  if (found == nullptr || same_value(*found, json::parse(json::string_view(rule.json.data(), rule.json.size()))))
    return;
  throw_unsupported("{}: {} is {}; fathom implements {} only ({})", f.where(), rule.key, shown(*found), rule.json,
                    rule.why);
}

struct FamilyName {
  Family family;
  std::string_view architecture;
};
constexpr std::array kFamilies = std::to_array<FamilyName>({
    {Family::deepseek_v2, "DeepseekV2ForCausalLM"},
    {Family::deepseek, "DeepseekForCausalLM"},
    {Family::llama, "LlamaForCausalLM"},
});

Family read_family(JsonFields& f) {
  const std::string_view type = f.text("model_type");
  const auto known =
      std::find_if(kFamilies.begin(), kFamilies.end(), [&](const FamilyName& n) { return name(n.family) == type; });
  if (known == kFamilies.end())
    throw_unsupported("{}: model_type {} is not supported; deepseek_v2, deepseek and llama are", f.where(),
                      quoted_for_message(type, 40));
  const json::array* architectures = f.maybe_array("architectures");
  if (architectures == nullptr) return known->family;
  for (const json::value& a : *architectures)
    if (!a.is_string() || std::string_view(a.get_string()) != known->architecture)
      throw_unsupported("{}: architectures names {}; for model_type {} fathom implements {}", f.where(), shown(a), type,
                        known->architecture);
  return known->family;
}

// The references do not agree on the amplitude of cos and sin when just one of the two is given: DeepSeek's code takes
// an absent mscale as 1 and an absent mscale_all_dim as 0, transformers ignores mscale unless both are there and not 0.
// Where they agree, the result is the same formula.
void read_mscale(JsonFields& f, YarnScaling& yarn) {
  const auto mscale = f.maybe_number("mscale"), all_dim = f.maybe_number("mscale_all_dim");
  yarn.mscale = mscale.value_or(1.0);
  yarn.mscale_all_dim = all_dim.value_or(0.0);
  const bool both = yarn.mscale != 0 && yarn.mscale_all_dim != 0 && mscale.has_value();
  const bool neither = yarn.mscale_all_dim == 0 && yarn.mscale == 1.0;
  if (!both && !neither)
    throw_unsupported(
        "{}: mscale is {} and mscale_all_dim is {}; the reference implementations disagree on this pair. "
        "The published models give both the same value (0.707 or 1.0)",
        f.where(), mscale ? fmt::format("{}", *mscale) : "absent", all_dim ? fmt::format("{}", *all_dim) : "absent");
}

YarnScaling read_yarn(JsonFields& f) {
  YarnScaling yarn;
  yarn.factor = f.number("factor");
  yarn.original_max_position_embeddings = f.integer("original_max_position_embeddings");
  yarn.beta_fast = f.maybe_number("beta_fast").value_or(32);
  yarn.beta_slow = f.maybe_number("beta_slow").value_or(1);
  read_mscale(f, yarn);
  check_single_valued(f, {"attention_factor", "null", "the amplitude follows from mscale and mscale_all_dim"});
  check_single_valued(f, {"truncate", "true", "the ends of the ramp are whole numbers"});
  check_single_valued(f, {"extrapolation_factor", "1.0", "full interpolation"});
  check_single_valued(f, {"attn_factor", "1.0", "the amplitude follows from mscale and mscale_all_dim"});
  f.ignore("finetuned");  // how the model came to its context length
  return yarn;
}

// What rope_scaling or rope_parameters says.
struct RopeKeys {
  std::optional<double> theta;
  std::optional<YarnScaling> yarn;
};

RopeKeys read_rope_object(JsonFields& rope, const ModelConfig& c, bool type_is_needed) {
  RopeKeys keys;
  keys.theta = rope.maybe_number("rope_theta");
  const auto type = rope.maybe_text("rope_type"), old_type = rope.maybe_text("type");
  if (type && old_type && *type != *old_type)
    throw_bad_input("{}: rope_type is {} and type is {}; they must agree", rope.where(), quoted_for_message(*type),
                    quoted_for_message(*old_type));
  if (type_is_needed && !type && !old_type) throw_bad_input("{}: has neither type nor rope_type", rope.where());
  const std::string_view kind = type.value_or(old_type.value_or("default"));
  if (kind == "yarn" && c.uses_mla()) {
    keys.yarn = read_yarn(rope);
  } else if (kind != "default") {
    throw_unsupported("{}: type {} is not supported for model_type {}; {} is", rope.where(),
                      quoted_for_message(kind, 40), name(c.family), c.uses_mla() ? "'yarn' or none" : "none");
  }
  check_single_valued(rope, {"partial_rotary_factor", "1.0", "the whole rotary part rotates"});
  rope.refuse_unread();
  return keys;
}

// rope_scaling beside rope_theta, or rope_parameters with everything inside; both where they say the same.
void read_rope(JsonFields& f, ModelConfig& c) {
  auto old_layout = f.maybe_fields("rope_scaling"), new_layout = f.maybe_fields("rope_parameters");
  RopeKeys old_keys, new_keys;
  if (old_layout) old_keys = read_rope_object(*old_layout, c, true);
  if (new_layout) new_keys = read_rope_object(*new_layout, c, false);
  if (old_layout && new_layout && old_keys.yarn != new_keys.yarn)
    throw_bad_input("{}: has both rope_scaling and rope_parameters, and they differ; keep the one that is right",
                    f.where());
  c.rope_scaling = new_layout ? new_keys.yarn : old_keys.yarn;

  const struct {
    std::optional<double> theta;
    const char* place;
  } places[] = {{f.maybe_number("rope_theta"), ""},
                {old_keys.theta, " in rope_scaling"},
                {new_keys.theta, " in rope_parameters"}};
  const auto* first =
      std::find_if(std::begin(places), std::end(places), [](const auto& p) { return p.theta.has_value(); });
  if (first == std::end(places)) throw_bad_input("{}: rope_theta is missing; fathom guesses no sizes", f.where());
  for (const auto& p : places)
    if (p.theta && *p.theta != *first->theta)
      throw_bad_input("{}: rope_theta is {}{} and {}{}; they must agree", f.where(), *first->theta, first->place,
                      *p.theta, p.place);
  c.rope_theta = *first->theta;
}

void expect_equal(JsonFields& f, const char* key, int64_t want, const char* what) {
  const auto found = f.maybe_integer(key);
  if (found && *found != want)
    throw_unsupported("{}: {} is {}, but {} is {}, and the two must be equal", f.where(), key, *found, what, want);
}

void read_latent_attention(JsonFields& f, ModelConfig& c) {
  c.q_lora_rank = f.maybe_integer("q_lora_rank");
  c.kv_lora_rank = f.integer("kv_lora_rank");
  c.qk_nope_head_dim = f.integer("qk_nope_head_dim");
  c.qk_rope_head_dim = f.integer("qk_rope_head_dim");
  c.v_head_dim = f.integer("v_head_dim");
  c.num_key_value_heads = c.num_attention_heads;
  expect_equal(f, "num_key_value_heads", c.num_attention_heads, "num_attention_heads");
  // transformers >= 4.53 adds these two, computed.
  expect_equal(f, "head_dim", c.qk_rope_head_dim, "qk_rope_head_dim");
  expect_equal(f, "rotary_dim", c.qk_rope_head_dim, "qk_rope_head_dim");
  // Both are below 2^31 or validate() refuses them; the sum is done in unsigned so that no input overflows.
  expect_equal(
      f, "qk_head_dim",
      static_cast<int64_t>(static_cast<uint64_t>(c.qk_nope_head_dim) + static_cast<uint64_t>(c.qk_rope_head_dim)),
      "qk_nope_head_dim + qk_rope_head_dim");
}

void read_grouped_attention(JsonFields& f, ModelConfig& c) {
  c.num_key_value_heads = f.maybe_integer("num_key_value_heads").value_or(c.num_attention_heads);
  c.rope_layout = RopeLayout::half_split;
  if (const auto head_dim = f.maybe_integer("head_dim")) {
    c.head_dim = *head_dim;
    return;
  }
  if (c.num_attention_heads < 1 || c.hidden_size % c.num_attention_heads != 0)
    throw_bad_input("{}: hidden_size ({}) is not a multiple of num_attention_heads ({}), and there is no head_dim",
                    f.where(), c.hidden_size, c.num_attention_heads);
  c.head_dim = c.hidden_size / c.num_attention_heads;
}

TopkMethod read_topk_method(JsonFields& f, const ModelConfig& c) {
  const auto method = f.maybe_text("topk_method");
  if (!method) {
    if (c.uses_mla())
      throw_bad_input("{}: topk_method is missing; it is greedy for V2-Lite and group_limited_greedy for V2",
                      f.where());
    return TopkMethod::greedy;
  }
  if (*method == "greedy") return TopkMethod::greedy;
  if (*method == "group_limited_greedy" && c.uses_mla()) return TopkMethod::group_limited_greedy;
  if (*method == "noaux_tc" && c.uses_mla()) return TopkMethod::noaux_tc;
  throw_unsupported(
      "{}: topk_method {} is not supported; {}{}", f.where(), quoted_for_message(*method, 40),
      c.uses_mla() ? "greedy, group_limited_greedy and noaux_tc are" : "greedy is",
      *method == "gready"
          ? " ('gready' is the misspelt default of the published config class: was the key left out by mistake?)"
          : "");
}

void read_experts(JsonFields& f, ModelConfig& c) {
  c.n_routed_experts = f.maybe_integer("n_routed_experts").value_or(0);
  const auto shared = f.maybe_integer("n_shared_experts");
  const auto first_dense = f.maybe_integer("first_k_dense_replace"), width = f.maybe_integer("moe_intermediate_size");
  const auto chosen = f.maybe_integer("num_experts_per_tok"), groups = f.maybe_integer("n_group"),
             groups_kept = f.maybe_integer("topk_group");
  const auto freq = f.maybe_integer("moe_layer_freq");
  const auto normalise = f.maybe_boolean("norm_topk_prob");
  const auto factor = f.maybe_number("routed_scaling_factor");
  for (const char* alias : {"num_local_experts", "num_experts"})  // names that transformers gives the same number
    expect_equal(f, alias, c.n_routed_experts, "n_routed_experts");
  if (c.n_routed_experts == 0) {
    if (f.has("n_routed_experts"))
      throw_bad_input("{}: n_routed_experts is 0; leave it out or make it null for a model without experts", f.where());
    f.ignore("topk_method");
    return;
  }
  const auto need = [&](const std::optional<int64_t>& v, const char* key) {
    if (!v) throw_bad_input("{}: {} is missing; fathom guesses no sizes", f.where(), key);
    return *v;
  };
  c.n_shared_experts = shared.value_or(0);
  c.first_k_dense_replace = need(first_dense, "first_k_dense_replace");
  c.moe_intermediate_size = need(width, "moe_intermediate_size");
  c.num_experts_per_tok = need(chosen, "num_experts_per_tok");
  c.moe_layer_freq = freq.value_or(1);
  c.norm_topk_prob = normalise.value_or(false);
  c.routed_scaling_factor = factor.value_or(1.0);
  c.topk_method = read_topk_method(f, c);
  if (c.topk_method == TopkMethod::greedy) return;  // n_group and topk_group are without meaning then
  c.n_group = need(groups, "n_group");
  c.topk_group = need(groups_kept, "topk_group");
}

// What newer releases of transformers write about each layer, computed from keys that are read above.
void check_layer_types(JsonFields& f, const char* key, const ModelConfig& c, std::string_view (*type_of)(bool is_moe)) {
  const json::array* types = f.maybe_array(key);
  if (types == nullptr) return;
  if (std::ssize(*types) != c.num_hidden_layers)
    throw_bad_input("{}: {} has {} entries, but num_hidden_layers is {}", f.where(), key, types->size(),
                    c.num_hidden_layers);
  for (int64_t i = 0; i < c.num_hidden_layers; ++i) {
    const json::value& found = (*types)[static_cast<size_t>(i)];
    const std::string_view wanted = type_of(c.layer_is_moe(i));
    if (!found.is_string() || std::string_view(found.get_string()) != wanted)
      throw_unsupported("{}: {} says {} of layer {}, which is {} by the other keys", f.where(), key,
                        quoted_for_message(json::serialize(found), 40), i, wanted);
  }
}

void read_tokens(JsonFields& f, ModelConfig& c) {
  for (auto [key, id] : {std::pair("bos_token_id", &c.bos_token_id), std::pair("pad_token_id", &c.pad_token_id)}) {
    *id = f.maybe_integer(key);
    if (*id && **id < 0) id->reset();  // -1: how early llama configs say "none"
    if (*id && **id > INT32_MAX) throw_bad_input("{}: {} is {}; a token id is needed", f.where(), key, **id);
  }
  const json::value* eos = f.maybe_value("eos_token_id");
  if (eos != nullptr) c.eos_token_ids = token_ids_of_json(*eos, f.place("eos_token_id"));
}

[[noreturn]] void refuse_quantised(const std::string& where, const std::string& method) {
  throw_unsupported(
      "{}: the weights were quantised by {}, in a form of its own; of quantised folders fathom reads fp8 with blocks "
      "of "
      "128 x 128. Take the checkpoint that this one was made from, and `fathom quantize` it",
      where, method);
}

// FP8 weights of DeepSeek's kind: E4M3 with one scale for each block of 128 x 128. Activations stay float in fathom.
void check_quantization(JsonFields& f) {
  auto q = f.maybe_fields("quantization_config");
  if (!q && f.maybe_fields("quantization")) refuse_quantised(f.where(), "MLX");
  f.ignore("quantization");  // MLX says the same twice
  if (!q) return;
  if (!q->has("quant_method") && q->has("bits")) refuse_quantised(f.where(), "MLX");
  if (const auto method = q->text("quant_method"); method != "fp8")
    refuse_quantised(f.where(), quoted_for_message(method, 40));
  check_single_valued(*q, {"fmt", R"("e4m3")", "the element type of the weights"});
  check_single_valued(*q, {"weight_block_size", "[128,128]", "one scale for each block"});
  check_single_valued(*q, {"scale_fmt", R"("float")", "weight_scale_inv holds float32"});
  for (const char* key : {"activation_scheme", "modules_to_not_convert", "dequantize"}) q->ignore(key);
  q->refuse_unread();
}

}  // namespace

ModelConfig config_from_json(std::string_view text, const std::string& where, std::vector<std::string>* ignored) {
  const json::value document = parse_json(text, where);
  JsonFields f(document, where);
  ModelConfig c;
  c.family = read_family(f);
  c.vocab_size = f.integer("vocab_size");
  c.hidden_size = f.integer("hidden_size");
  c.num_hidden_layers = f.integer("num_hidden_layers");
  c.intermediate_size = f.integer("intermediate_size");
  c.max_position_embeddings = f.integer("max_position_embeddings");
  c.rms_norm_eps = f.number("rms_norm_eps");
  c.tie_word_embeddings = f.maybe_boolean("tie_word_embeddings").value_or(false);
  c.num_attention_heads = f.integer("num_attention_heads");
  if (c.uses_mla())
    read_latent_attention(f, c);
  else
    read_grouped_attention(f, c);
  read_rope(f, c);
  if (c.family != Family::llama) read_experts(f, c);
  read_tokens(f, c);
  check_quantization(f);
  for (const SingleValued& rule : kSingleValued) check_single_valued(f, rule);
  check_layer_types(f, "layer_types", c, [](bool) { return std::string_view("full_attention"); });
  check_layer_types(f, "mlp_layer_types", c, [](bool is_moe) { return std::string_view(is_moe ? "sparse" : "dense"); });
  for (const auto& [key, value] : f.object()) {
    if (value.is_null() || f.was_read(key) || reason_to_ignore(std::string_view(key), value).empty()) continue;
    f.ignore(key);
    if (ignored != nullptr) ignored->emplace_back(key);
  }
  if (const auto key = f.unread())
    throw_unsupported("{}: unknown key {}; fathom does not run a model while ignoring what its config says.{}", where,
                      quoted_for_message(*key, 60), did_you_mean(*key, f.known()));
  validate(c, where);
  return c;
}

}  // namespace fathom
