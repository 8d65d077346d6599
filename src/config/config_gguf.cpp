#include "config/config_gguf.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <set>

#include "base/error.h"
#include "checkpoint/names.h"
#include "config/ignored_keys.h"

namespace fathom {
namespace {

constexpr int64_t kGatingSoftmax = 1;  // gguf.ExpertGatingFuncType

// The shortest decimal that rounds to this float, as a double: 0.0707f -> 0.0707.
double decimal(double value) {
  const std::string text = fmt::format("{}", static_cast<float>(value));
  double out = value;
  std::from_chars(text.data(), text.data() + text.size(), out);
  return out;
}

class GgufFields {
 public:
  GgufFields(const GgufMetadata& metadata, std::string architecture)
      : m_(metadata), prefix_(std::move(architecture) + ".") {}

  std::optional<int64_t> maybe_int(const char* key) { return m_.get_int(full(key)); }
  std::optional<bool> maybe_bool(const char* key) { return m_.get_bool(full(key)); }
  std::optional<std::string> maybe_text(const char* key) { return m_.get_string(full(key)); }
  std::optional<double> maybe_float(const char* key) {
    const auto v = m_.get_float(full(key));
    return v ? std::optional(decimal(*v)) : std::nullopt;
  }
  int64_t integer(const char* key) { return required(maybe_int(key), key); }
  double number(const char* key) { return required(maybe_float(key), key); }

  template <class T>
  void expect(const char* key, const std::optional<T>& found, const T& want, const char* why) const {
    if (found && *found != want)
      throw_unsupported("{}: {}{} is {}; fathom implements {} only ({})", m_.where(), prefix_, key,
                        m_.text(prefix_ + key), want, why);
  }

  const std::string& where() const { return m_.where(); }
  std::string key_name(const char* key) const { return prefix_ + key; }

  // Every key that was not read must be one to pass over; those of nobody's known namespace are added to `ignored`.
  void refuse_unread(std::vector<std::string>* ignored) const {
    const std::string architecture = prefix_.substr(0, prefix_.size() - 1);
    for (const std::string& key : m_.keys()) {
      if (read_.contains(key)) continue;
      if (key.starts_with(prefix_) && is_neutral(std::string_view(key).substr(prefix_.size()), m_.text(key))) continue;
      if (key.starts_with(prefix_))
        throw_unsupported("{}: unknown key {}; fathom does not run a model while ignoring what its file says", where(),
                          quoted_for_message(key));
      const std::string_view reason = reason_to_ignore(key, architecture);
      if (reason.empty())
        throw_unsupported("{}: unknown key {}; a {} model has keys {}*, general.* and tokenizer.*", where(),
                          quoted_for_message(key), architecture, prefix_);
      if (ignored != nullptr && reason == kForeignNamespace) ignored->push_back(key);
    }
  }

 private:
  std::string full(const char* key) {
    std::string k = prefix_ + key;
    read_.insert(k);
    return k;
  }
  template <class T>
  T required(const std::optional<T>& v, const char* key) const {
    if (!v) throw_bad_input("{}: {}{} is missing; fathom guesses no sizes", where(), prefix_, key);
    return *v;
  }

  const GgufMetadata& m_;
  std::string prefix_;
  std::set<std::string> read_;
};

void read_latent_attention(GgufFields& f, ModelConfig& c) {
  if (const auto rank = f.maybe_int("attention.q_lora_rank"); rank && *rank != 0) c.q_lora_rank = *rank;
  c.kv_lora_rank = f.integer("attention.kv_lora_rank");
  c.qk_rope_head_dim = f.integer("rope.dimension_count");
  c.num_key_value_heads = c.num_attention_heads;
  const int64_t key_length = f.integer("attention.key_length"), value_length = f.integer("attention.value_length");
  const auto key_length_mla = f.maybe_int("attention.key_length_mla"),
             value_length_mla = f.maybe_int("attention.value_length_mla");
  const auto head_count_kv = f.maybe_int("attention.head_count_kv");
  if (key_length_mla.has_value() != value_length_mla.has_value())
    throw_bad_input("{}: of attention.key_length_mla and attention.value_length_mla only one is there", f.where());
  // Newer files describe the cache of the absorbed form (one head, C + R and C wide), and the heads themselves under
  // *_mla.
  const int64_t qk = key_length_mla.value_or(key_length), kv_heads = head_count_kv.value_or(c.num_attention_heads);
  c.v_head_dim = value_length_mla.value_or(value_length);
  if (key_length_mla &&
      (key_length - c.qk_rope_head_dim != c.kv_lora_rank || value_length != c.kv_lora_rank || kv_heads != 1))
    throw_bad_input(
        "{}: attention.key_length {}, value_length {} and head_count_kv {} do not fit kv_lora_rank {} and "
        "rope.dimension_count {}",
        f.where(), key_length, value_length, kv_heads, c.kv_lora_rank, c.qk_rope_head_dim);
  if (!key_length_mla && kv_heads != c.num_attention_heads)
    throw_bad_input("{}: attention.head_count_kv is {}, but head_count is {}", f.where(), kv_heads,
                    c.num_attention_heads);
  if (__builtin_sub_overflow(qk, c.qk_rope_head_dim, &c.qk_nope_head_dim))
    throw_bad_input("{}: attention.key_length {} is out of range", f.where(), qk);
}

void read_grouped_attention(GgufFields& f, ModelConfig& c) {
  c.num_key_value_heads = f.maybe_int("attention.head_count_kv").value_or(c.num_attention_heads);
  const auto key_length = f.maybe_int("attention.key_length"), value_length = f.maybe_int("attention.value_length");
  if (!key_length && (c.num_attention_heads < 1 || c.hidden_size % c.num_attention_heads != 0))
    throw_bad_input("{}: {} is missing, and embedding_length ({}) is not a multiple of attention.head_count ({})",
                    f.where(), f.key_name("attention.key_length"), c.hidden_size, c.num_attention_heads);
  c.head_dim = key_length ? *key_length : c.hidden_size / c.num_attention_heads;
  f.expect("attention.value_length", value_length, c.head_dim, "the width of keys");
  f.expect("rope.dimension_count", f.maybe_int("rope.dimension_count"), c.head_dim, "the whole head rotates");
}

void read_yarn(GgufFields& f, ModelConfig& c) {
  YarnScaling y;
  y.factor = f.number("rope.scaling.factor");
  y.original_max_position_embeddings = f.integer("rope.scaling.original_context_length");
  y.beta_fast = f.maybe_float("rope.scaling.yarn_beta_fast").value_or(32);
  y.beta_slow = f.maybe_float("rope.scaling.yarn_beta_slow").value_or(1);
  f.expect("rope.scaling.yarn_ext_factor", f.maybe_float("rope.scaling.yarn_ext_factor"), 1.0, "full interpolation");
  f.expect("rope.scaling.attn_factor", f.maybe_float("rope.scaling.attn_factor"), 1.0,
           "the amplitude follows from mscale");
  f.expect("rope.scaling.yarn_attn_factor", f.maybe_float("rope.scaling.yarn_attn_factor"), 1.0,
           "the amplitude follows from mscale");
  // 0.1 * mscale_all_dim (spec section 9, 3). The file has no mscale: the converter, and llama.cpp, take it to be
  // equal.
  if (const auto log_multiplier = f.maybe_float("rope.scaling.yarn_log_multiplier");
      log_multiplier && *log_multiplier != 0)
    y.mscale = y.mscale_all_dim = decimal(*log_multiplier * 10);
  c.rope_scaling = y;
}

void read_rope(GgufFields& f, ModelConfig& c) {
  c.rope_theta = f.maybe_float("rope.freq_base")
                     .value_or(10000);  // llama.cpp's default, which its converter leaves out for some models
  static_cast<void>(f.maybe_bool("rope.scaling.finetuned"));  // how the model came to its context length
  const std::string type = f.maybe_text("rope.scaling.type").value_or("none");
  if (type == "yarn" && c.uses_mla()) return read_yarn(f, c);
  // "linear" with factor 1 is how some files spell "none".
  const double factor = f.maybe_float("rope.scaling.factor").value_or(1);
  if ((type != "none" && type != "linear") || factor != 1)
    throw_unsupported("{}: rope.scaling.type is {} with factor {}; for this architecture fathom implements {}",
                      f.where(), quoted_for_message(type, 40), factor, c.uses_mla() ? "'yarn' and none" : "none");
}

// llama.cpp knows the choice with a bias by its tensors.
bool has_score_bias(const TensorSource& source) {
  const auto& all = source.tensors();
  return std::any_of(all.begin(), all.end(), [](const TensorInfo& t) {
    const auto name = parse_gguf_name(t.name);
    return name && name->part == kScoreBiasPart;
  });
}

void read_experts(GgufFields& f, const TensorSource& source, ModelConfig& c) {
  c.n_routed_experts = f.maybe_int("expert_count").value_or(0);
  const auto chosen = f.maybe_int("expert_used_count"), groups = f.maybe_int("expert_group_count"),
             groups_kept = f.maybe_int("expert_group_used_count");
  const auto shared = f.maybe_int("expert_shared_count"), width = f.maybe_int("expert_feed_forward_length");
  const auto shared_width = f.maybe_int("expert_shared_feed_forward_length");
  const auto first_dense = f.maybe_int("leading_dense_block_count");
  const auto scale = f.maybe_float("expert_weights_scale");
  const auto normalise = f.maybe_bool("expert_weights_norm");
  f.expect("expert_gating_func", f.maybe_int("expert_gating_func"), kGatingSoftmax, "softmax; sigmoid is DeepSeek-V3");
  f.expect("nextn_predict_layers", f.maybe_int("nextn_predict_layers"), int64_t{0},
           "multi-token prediction is DeepSeek-V3");
  if (c.n_routed_experts == 0) return;
  const auto need = [&](const std::optional<int64_t>& v, const char* key) {
    if (!v) throw_bad_input("{}: {} is missing; fathom guesses no sizes", f.where(), f.key_name(key));
    return *v;
  };
  c.num_experts_per_tok = need(chosen, "expert_used_count");
  c.n_shared_experts = need(shared, "expert_shared_count");
  c.moe_intermediate_size = need(width, "expert_feed_forward_length");
  if (shared_width && *shared_width != 0 && c.n_shared_experts * c.moe_intermediate_size != *shared_width)
    throw_bad_input("{}: {} is {}, but there are {} shared experts of width {}", f.where(),
                    f.key_name("expert_shared_feed_forward_length"), *shared_width, c.n_shared_experts,
                    c.moe_intermediate_size);
  c.first_k_dense_replace = first_dense.value_or(0);
  c.routed_scaling_factor = scale.value_or(1.0);
  if (c.routed_scaling_factor == 0) c.routed_scaling_factor = 1;  // older files: "not scaled"
  c.norm_topk_prob = normalise.value_or(false);
  if (c.uses_mla() && has_score_bias(source)) c.topk_method = TopkMethod::noaux_tc;
  if (groups.value_or(1) <= 1) return;
  if (!c.uses_mla()) f.expect("expert_group_count", groups, int64_t{1}, "groups are deepseek2's");
  if (!c.has_score_bias()) c.topk_method = TopkMethod::group_limited_greedy;
  c.n_group = *groups;
  c.topk_group = need(groups_kept, "expert_group_used_count");
}

// -1, as llama.cpp spells it in either signedness, says that there is no such token.
std::optional<int32_t> checked_token_id(int64_t id, const std::string& where, const char* key) {
  if (id == -1 || id == int64_t{UINT32_MAX}) return std::nullopt;
  if (id < 0 || id > INT32_MAX) throw_bad_input("{}: {} is {}; a token id is needed", where, key, id);
  return static_cast<int32_t>(id);
}

void read_tokens(const GgufMetadata& m, ModelConfig& c) {
  c.bos_token_id = gguf_token_id(m, "tokenizer.ggml.bos_token_id");
  c.pad_token_id = gguf_token_id(m, "tokenizer.ggml.padding_token_id");
  const auto add = [&](int64_t id) {
    if (std::find(c.eos_token_ids.begin(), c.eos_token_ids.end(), id) == c.eos_token_ids.end())
      c.eos_token_ids.push_back(id);
  };
  // Ollama writes all ids that end an answer into a list; llama.cpp ends one at each of three.
  for (const int64_t id : m.get_ints("tokenizer.ggml.eos_token_ids").value_or(std::vector<int64_t>()))
    if (const auto checked = checked_token_id(id, m.where(), "tokenizer.ggml.eos_token_ids")) add(*checked);
  for (const char* key : {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id"})
    if (const auto id = gguf_token_id(m, key)) add(*id);
}

int64_t read_vocab_size(GgufFields& f, const GgufMetadata& m) {
  if (const auto n = f.maybe_int("vocab_size")) return *n;
  const GgufValue* tokens = m.find("tokenizer.ggml.tokens");
  if (tokens == nullptr)
    throw_bad_input("{}: has neither {} nor tokenizer.ggml.tokens", m.where(), f.key_name("vocab_size"));
  return static_cast<int64_t>(tokens->count());
}

struct Architecture {
  Family family;
  const char* name;
};
constexpr std::array kArchitectures = std::to_array<Architecture>({
    {Family::deepseek_v2, "deepseek2"},
    {Family::deepseek, "deepseek"},
    {Family::llama, "llama"},
});

// Files of other kinds that are GGUF too, by general.type.
void refuse_other_kinds(const GgufMetadata& m) {
  const auto type = m.get_string("general.type").value_or("model");
  if (type == "adapter" || m.has("adapter.type"))
    throw_unsupported(
        "{}: is an adapter ({}), not a whole model; merge it with its base model first (llama.cpp's llama-export-lora)",
        m.where(), quoted_for_message(m.get_string("adapter.type").value_or("of unknown kind"), 20));
  if (type == "imatrix" || m.has("imatrix.datasets"))
    throw_unsupported(
        "{}: is importance data (an imatrix file of llama.cpp), not a model; it goes with `fathom quantize "
        "--importance`",
        m.where());
  if (type == "mmproj")
    throw_unsupported("{}: is the part of a model that reads pictures or sound, not a language model", m.where());
}

Family read_family(const GgufMetadata& m) {
  refuse_other_kinds(m);
  const auto name = m.get_string("general.architecture");
  if (!name) throw_bad_input("{}: general.architecture is missing", m.where());
  for (const Architecture& a : kArchitectures)
    if (*name == a.name) return a.family;
  throw_unsupported("{}: architecture {} is not supported; deepseek2, deepseek and llama are", m.where(),
                    quoted_for_message(*name, 40));
}

const char* architecture_name(Family family) {
  for (const Architecture& a : kArchitectures)
    if (a.family == family) return a.name;
  return "";
}

}  // namespace

std::optional<std::string> missing_groups_notice(const GgufMetadata& m, const ModelConfig& c) {
  constexpr int64_t kV2Hidden = 5120, kV2Experts = 160;
  constexpr const char* kKey = "deepseek2.expert_group_count";
  if (!c.uses_mla() || c.hidden_size != kV2Hidden || c.n_routed_experts != kV2Experts || m.has(kKey)) return {};
  return fmt::format(
      "has the experts of DeepSeek-V2 but no '{}', which many converters leave out: experts are chosen among all {}, "
      "as "
      "in llama.cpp, and not in 3 of 8 groups as in DeepSeek's code; `fathom convert` of the Hugging Face folder keeps "
      "the groups",
      kKey, kV2Experts);
}

std::optional<int32_t> gguf_token_id(const GgufMetadata& m, const char* key) {
  const auto id = m.get_int(key);
  return id ? checked_token_id(*id, m.where(), key) : std::nullopt;
}

ModelConfig config_from_gguf(const GgufMetadata& m, const TensorSource& source, std::vector<std::string>* ignored) {
  ModelConfig c;
  c.family = read_family(m);
  GgufFields f(m, architecture_name(c.family));
  c.vocab_size = read_vocab_size(f, m);
  c.hidden_size = f.integer("embedding_length");
  c.num_hidden_layers = f.integer("block_count");
  c.intermediate_size = f.integer("feed_forward_length");
  c.max_position_embeddings = f.integer("context_length");
  c.rms_norm_eps = f.number("attention.layer_norm_rms_epsilon");
  c.tie_word_embeddings = source.find("output.weight") == nullptr;
  c.num_attention_heads = f.integer("attention.head_count");
  f.expect("attention.causal", f.maybe_bool("attention.causal"), true, "a decoder");
  c.rope_layout = RopeLayout::interleaved;  // of all three: the converter permutes the rows of deepseek and llama
  if (c.uses_mla())
    read_latent_attention(f, c);
  else
    read_grouped_attention(f, c);
  read_rope(f, c);
  if (c.family == Family::llama) {
    f.expect("expert_count", f.maybe_int("expert_count"), int64_t{0}, "dense layers");
    f.expect("expert_used_count", f.maybe_int("expert_used_count"), int64_t{0}, "dense layers");
  } else {
    read_experts(f, source, c);
  }
  read_tokens(m, c);
  f.refuse_unread(ignored);
  validate(c, m.where());
  return c;
}

namespace {

class GgufSetter {
 public:
  explicit GgufSetter(Family family) : prefix_(std::string(architecture_name(family)) + ".") {
    m_.set_string("general.architecture", architecture_name(family));
  }
  void u32(const char* key, int64_t v) { m_.set_u32(prefix_ + key, static_cast<uint32_t>(v)); }
  void f32(const char* key, double v) { m_.set_f32(prefix_ + key, static_cast<float>(v)); }
  void boolean(const char* key, bool v) { m_.set_bool(prefix_ + key, v); }
  void text(const char* key, const char* v) { m_.set_string(prefix_ + key, v); }
  GgufMetadata take() { return std::move(m_); }

 private:
  GgufMetadata m_;
  std::string prefix_;
};

void write_attention(GgufSetter& set, const ModelConfig& c) {
  set.u32("attention.head_count", c.num_attention_heads);
  if (!c.uses_mla()) {
    set.u32("attention.head_count_kv", c.num_key_value_heads);
    set.u32("attention.key_length", c.head_dim);
    set.u32("attention.value_length", c.head_dim);
    return;
  }
  set.u32("attention.head_count_kv", 1);
  // llama.cpp requires the key except for 26 and 27 layers, where it does not read it; 0 says "no query latent".
  set.u32("attention.q_lora_rank", c.q_lora_rank.value_or(0));
  set.u32("attention.kv_lora_rank", c.kv_lora_rank);
  set.u32("attention.key_length", c.kv_lora_rank + c.qk_rope_head_dim);
  set.u32("attention.value_length", c.kv_lora_rank);
  set.u32("attention.key_length_mla", c.qk_nope_head_dim + c.qk_rope_head_dim);
  set.u32("attention.value_length_mla", c.v_head_dim);
}

void write_rope(GgufSetter& set, const ModelConfig& c) {
  set.u32("rope.dimension_count", c.rope_dim());
  set.f32("rope.freq_base", c.rope_theta);
  if (!c.rope_scaling) {
    set.text("rope.scaling.type", "none");
    return;
  }
  const YarnScaling& y = *c.rope_scaling;
  if (y.mscale_all_dim != 0 && y.mscale != y.mscale_all_dim)
    throw_unsupported(
        "mscale is {} and mscale_all_dim is {}: GGUF has a field for the second only and takes the first to be equal",
        y.mscale, y.mscale_all_dim);
  set.text("rope.scaling.type", "yarn");
  set.f32("rope.scaling.factor", y.factor);
  set.u32("rope.scaling.original_context_length", y.original_max_position_embeddings);
  set.f32("rope.scaling.yarn_beta_fast", y.beta_fast);
  set.f32("rope.scaling.yarn_beta_slow", y.beta_slow);
  if (y.mscale_all_dim != 0) set.f32("rope.scaling.yarn_log_multiplier", 0.1 * y.mscale_all_dim);
}

void write_experts(GgufSetter& set, const ModelConfig& c) {
  const bool moe = c.n_routed_experts > 0;
  if (moe && c.moe_layer_freq != 1)
    throw_unsupported("moe_layer_freq is {}: GGUF has no field for values other than 1", c.moe_layer_freq);
  set.u32("leading_dense_block_count", moe ? c.first_k_dense_replace : c.num_hidden_layers);
  // llama.cpp requires these two of a model without experts as well.
  set.u32("expert_feed_forward_length", moe ? c.moe_intermediate_size : c.intermediate_size);
  set.u32("expert_shared_count", c.n_shared_experts);
  if (!moe) return;
  set.u32("expert_count", c.n_routed_experts);
  set.u32("expert_used_count", c.num_experts_per_tok);
  set.f32("expert_weights_scale", c.routed_scaling_factor);
  set.boolean("expert_weights_norm", c.normalises_gates());  // llama.cpp would divide a single gate by itself
  set.u32("expert_gating_func", kGatingSoftmax);
  // Keeping all groups is plain greedy routing, and llama.cpp insists on fewer kept than there are.
  if (c.topk_group == c.n_group) return;
  set.u32("expert_group_count", c.n_group);
  set.u32("expert_group_used_count", c.topk_group);
}

}  // namespace

GgufMetadata config_to_gguf(const ModelConfig& c) {
  GgufSetter set(c.family);
  set.u32("block_count", c.num_hidden_layers);
  set.u32("context_length", c.max_position_embeddings);
  set.u32("embedding_length", c.hidden_size);
  set.u32("feed_forward_length", c.intermediate_size);
  set.u32("vocab_size", c.vocab_size);
  set.f32("attention.layer_norm_rms_epsilon", c.rms_norm_eps);
  write_attention(set, c);
  write_rope(set, c);
  if (c.family != Family::llama) write_experts(set, c);
  return set.take();
}

}  // namespace fathom
