// From a list of named tensors to the weight structs: find each, compare its shape with the config's, take a view.
#include <fmt/args.h>

#include <algorithm>
#include <array>
#include <map>
#include <set>

#include "base/error.h"
#include "checkpoint/names.h"
#include "load/load.h"
#include "load/load_redundant.h"

namespace fathom {
namespace {

struct Reason {
  std::string_view part, text;  // part of a TensorName
};
// The letters of config.h; d head_dim, G num_key_value_heads, S n_shared_experts.
constexpr std::array kReasons = std::to_array<Reason>({
    {"model.embed_tokens", "vocab_size {vocab}, hidden_size {D}"},
    {"lm_head", "vocab_size {vocab}, hidden_size {D}"},
    {"model.norm", "hidden_size {D}"},
    {"input_layernorm", "hidden_size {D}"},
    {"post_attention_layernorm", "hidden_size {D}"},
    {"self_attn.q_a_proj", "q_lora_rank {Q}, hidden_size {D}"},
    {"self_attn.q_a_layernorm", "q_lora_rank {Q}"},
    {"self_attn.q_b_proj", "num_attention_heads {H} * (qk_nope_head_dim {N} + qk_rope_head_dim {R}), q_lora_rank {Q}"},
    {"self_attn.kv_a_proj_with_mqa", "kv_lora_rank {C} + qk_rope_head_dim {R}, hidden_size {D}"},
    {"self_attn.kv_a_layernorm", "kv_lora_rank {C}"},
    {"self_attn.kv_b_proj", "num_attention_heads {H} * (qk_nope_head_dim {N} + v_head_dim {V}), kv_lora_rank {C}"},
    {"self_attn.k_b_proj", "num_attention_heads {H}, kv_lora_rank {C}, qk_nope_head_dim {N}"},
    {"self_attn.v_b_proj", "num_attention_heads {H}, v_head_dim {V}, kv_lora_rank {C}"},
    {"self_attn.k_proj", "num_key_value_heads {G} * head_dim {d}, hidden_size {D}"},
    {"self_attn.v_proj", "num_key_value_heads {G} * head_dim {d}, hidden_size {D}"},
    {"mlp.gate", "n_routed_experts {E}, hidden_size {D}"},
    {kScoreBiasPart, "topk_method noaux_tc, n_routed_experts {E}"},
    {"mlp.gate_proj", "intermediate_size {F}, hidden_size {D}"},
    {"mlp.up_proj", "intermediate_size {F}, hidden_size {D}"},
    {"mlp.down_proj", "hidden_size {D}, intermediate_size {F}"},
    {"mlp.experts.gate_proj", "n_routed_experts {E}, moe_intermediate_size {M}, hidden_size {D}"},
    {"mlp.experts.up_proj", "n_routed_experts {E}, moe_intermediate_size {M}, hidden_size {D}"},
    {"mlp.experts.down_proj", "n_routed_experts {E}, hidden_size {D}, moe_intermediate_size {M}"},
    {"mlp.shared_experts.gate_proj", "n_shared_experts {S} * moe_intermediate_size {M}, hidden_size {D}"},
    {"mlp.shared_experts.up_proj", "n_shared_experts {S} * moe_intermediate_size {M}, hidden_size {D}"},
    {"mlp.shared_experts.down_proj", "hidden_size {D}, n_shared_experts {S} * moe_intermediate_size {M}"},
});
constexpr std::array kLatentReasons = std::to_array<Reason>({
    {"self_attn.q_proj", "num_attention_heads {H} * (qk_nope_head_dim {N} + qk_rope_head_dim {R}), hidden_size {D}"},
    {"self_attn.o_proj", "hidden_size {D}, num_attention_heads {H} * v_head_dim {V}"},
});
constexpr std::array kGroupedReasons = std::to_array<Reason>({
    {"self_attn.q_proj", "num_attention_heads {H} * head_dim {d}, hidden_size {D}"},
    {"self_attn.o_proj", "hidden_size {D}, num_attention_heads {H} * head_dim {d}"},
});

std::string_view reason_text(std::string_view part, const ModelConfig& c) {
  const auto in = [&](const auto& table) -> std::string_view {
    const auto it = std::find_if(table.begin(), table.end(), [&](const Reason& r) { return r.part == part; });
    return it == table.end() ? std::string_view() : it->text;
  };
  const std::string_view own = c.uses_mla() ? in(kLatentReasons) : in(kGroupedReasons);
  return own.empty() ? in(kReasons) : own;
}

}  // namespace

std::string shape_reason(const std::string& hf_name, const ModelConfig& c) {
  const auto name = parse_hf_name(hf_name);
  const std::string_view text = name ? reason_text(name->part, c) : std::string_view();
  fmt::dynamic_format_arg_store<fmt::format_context> args;
  const auto add = [&](const char* letter, int64_t value) { args.push_back(fmt::arg(letter, value)); };
  add("vocab", c.vocab_size), add("D", c.hidden_size), add("F", c.intermediate_size), add("M", c.moe_intermediate_size);
  add("H", c.num_attention_heads), add("G", c.num_key_value_heads), add("d", c.head_dim),
      add("Q", c.q_lora_rank.value_or(0));
  add("C", c.kv_lora_rank), add("N", c.qk_nope_head_dim), add("R", c.qk_rope_head_dim), add("V", c.v_head_dim);
  add("E", c.n_routed_experts), add("S", c.n_shared_experts);
  return fmt::vformat(fmt::string_view(text.data(), text.size()), args);
}

namespace {

// Where a tensor of for_each_tensor lies in the source: a whole tensor, or rows of one matrix of a stack.
struct Place {
  const TensorInfo* tensor = nullptr;
  std::vector<int64_t> stored_shape;  // what the tensor's shape must be
  std::optional<int64_t> expert;      // of a stack [E, rows, cols]
  int64_t first_row = 0;              // of that expert's matrix
};

class WeightLoader {
 public:
  WeightLoader(const ModelConfig& config, const TensorSource& source)
      : c_(config), source_(source), gguf_(source.find("token_embd.weight") != nullptr) {}

  // GGUF since 2025: the file says so by what it holds.
  bool split_kv_b() const { return c_.uses_mla() && gguf_ && source_.find("blk.0.attn_k_b.weight") != nullptr; }

  Weight load(const std::string& name, const Shape& shape) {
    const Place place = find(name, shape);
    check_shape(place, name);
    used_.insert(place.tensor);
    Weight w = view(place, shape);
    if (w.dtype == DType::f8_e4m3) attach_scale(w, *place.tensor);
    return w;
  }

  // Every tensor that was not used must be one that changes nothing; a sentence for each reason is added to `notes`.
  void refuse_surplus(const ModelWeights& weights, std::vector<std::string>* notes) const {
    std::map<std::string, std::vector<std::string>> names_of_reason;
    for (const TensorInfo& t : source_.tensors()) {
      if (used_.contains(&t)) continue;
      const auto why = why_redundant(c_, weights, t);
      if (!why)
        throw_bad_input(
            "{}: tensor {} of shape {} is not part of this {} model ({} layers{}); was the file made for another "
            "config?",
            t.file, quoted_for_message(t.name), shape_text(t.shape), name(c_.family), c_.num_hidden_layers,
            c_.tie_word_embeddings ? ", tied embeddings" : "");
      if (!why->empty()) names_of_reason[*why].push_back(quoted_for_message(t.name));
    }
    if (notes == nullptr) return;
    for (const auto& [why, names] : names_of_reason)
      notes->push_back(fmt::format("{}{} {}", names.front(),
                                   names.size() > 1 ? fmt::format(" and {} more", names.size() - 1) : "", why));
  }

 private:
  Place find(const std::string& name, const Shape& shape) const {
    const auto parsed = parse_hf_name(name);
    check(parsed.has_value(), "for_each_tensor makes names that the table knows");
    if (gguf_) return find_gguf(*parsed, name, shape);
    if (const TensorInfo* t = source_.find(name)) return {t, shape, {}, 0};
    if (!parsed->expert) refuse_missing(name, name);
    const std::string_view own = std::string_view(name).substr(name.rfind('.', name.rfind('.') - 1) + 1);
    if (const TensorInfo* t = source_.find(fmt::format("model.layers.{}.mlp.switch_mlp.{}", *parsed->layer, own)))
      return {t, {c_.n_routed_experts, shape[0], shape[1]}, parsed->expert, 0};  // as MLX stores them
    return find_stacked(*parsed, name, shape, hf_stack(*parsed, "down_proj"), hf_stack(*parsed, "gate_up_proj"));
  }

  Place find_gguf(const TensorName& parsed, const std::string& name, const Shape& shape) const {
    const std::string stored = gguf_name(parsed);
    if (parsed.expert && source_.find(stored) == nullptr)
      return find_stacked(parsed, name, shape, stored, fmt::format("blk.{}.ffn_gate_up_exps.weight", *parsed.layer));
    const TensorInfo* t = source_.find(stored);
    if (t == nullptr) refuse_missing(name, stored);
    if (parsed.expert) return {t, {c_.n_routed_experts, shape[0], shape[1]}, parsed.expert, 0};
    const bool per_head = parsed.part == "self_attn.k_b_proj" || parsed.part == "self_attn.v_b_proj";
    if (per_head && t->shape.size() != 2)  // ik_llama.cpp writes the same rows without the heads' dimension
      return {t, {c_.num_attention_heads, shape[0] / c_.num_attention_heads, shape[1]}, {}, 0};
    return {t, shape, {}, 0};
  }

  static std::string hf_stack(const TensorName& parsed, const char* part) {
    return fmt::format("model.layers.{}.mlp.experts.{}", *parsed.layer, part);
  }

  // down alone, gate and up in one tensor with the rows of gate first.
  Place find_stacked(const TensorName& parsed, const std::string& name, const Shape& shape, const std::string& down,
                     const std::string& gate_up) const {
    const int64_t E = c_.n_routed_experts, rows = shape[0], cols = shape[1];
    if (parsed.part.ends_with("down_proj")) {
      const TensorInfo* t = source_.find(down);
      if (t == nullptr) refuse_missing(name, name);
      return {t, {E, rows, cols}, parsed.expert, 0};
    }
    const TensorInfo* t = source_.find(gate_up);
    if (t == nullptr) refuse_missing(name, gguf_ ? down : name);
    return {t, {E, 2 * rows, cols}, parsed.expert, parsed.part.ends_with("up_proj") ? rows : 0};
  }

  [[noreturn]] void refuse_missing(const std::string& name, const std::string& stored) const {
    throw_bad_input(
        "{}: tensor {} is missing; the config ({}) needs it. Is the download complete, and is it the config of these "
        "weights?",
        source_.where(), stored, shape_reason(name, c_));
  }

  void check_shape(const Place& place, const std::string& name) const {
    const TensorInfo& t = *place.tensor;
    if (t.shape == place.stored_shape) return;
    throw_bad_input(
        "{}: tensor {} has shape {}; the config ({}) needs {}. Was the file converted for another model? "
        "`fathom inspect --tensors` lists every tensor",
        t.file, t.name, shape_text(t.shape), shape_reason(name, c_), shape_text(place.stored_shape));
  }

  Weight view(const Place& place, const Shape& shape) const {
    if (place.expert) {
      if (place.tensor->dtype == DType::f8_e4m3)
        throw_unsupported("{}: tensor {} is a stack of experts in F8_E4M3; fathom reads this type one expert a tensor",
                          place.tensor->file, place.tensor->name);
      Weight w = expert_matrix(*place.tensor, *place.expert).sub_rows(place.first_row, shape[0]);
      w.first_row = 0;
      return w;
    }
    if (place.tensor->shape.size() <= 2) return as_matrix(*place.tensor);
    TensorInfo flat = *place.tensor;
    flat.shape = shape;
    return as_matrix(flat);
  }

  void attach_scale(Weight& w, const TensorInfo& t) {
    const std::string scale_name = t.name + "_scale_inv";
    const TensorInfo* scale = source_.find(scale_name);
    if (scale == nullptr) throw_bad_input("{}: tensor {} is F8_E4M3 but {} is missing", t.file, t.name, scale_name);
    const auto blocks = [](int64_t n) { return (n + kFp8Block - 1) / kFp8Block; };
    const std::vector<int64_t> need = {blocks(w.rows), blocks(w.cols)};
    if (scale->dtype != DType::f32 || scale->shape != need)
      throw_bad_input("{}: tensor {} is {} {}; one F32 for each block of {} x {} of {} is needed: {}", scale->file,
                      scale_name, info(scale->dtype).safetensors, shape_text(scale->shape), kFp8Block, kFp8Block,
                      t.name, shape_text(need));
    used_.insert(scale);
    w.scale_inv = scale->bytes.data();
    w.scale_cols = need[1];
  }

  const ModelConfig& c_;
  const TensorSource& source_;
  const bool gguf_;
  std::set<const TensorInfo*> used_;
};

}  // namespace

ModelWeights load_weights(const ModelConfig& config, const TensorSource& source, std::vector<std::string>* notes) {
  WeightLoader loader(config, source);
  ModelWeights weights = empty_weights(config, loader.split_kv_b());
  for_each_tensor(weights, config,
                  [&](const std::string& name, Weight& w, const Shape& shape) { w = loader.load(name, shape); });
  if (config.tie_word_embeddings) weights.lm_head = weights.embed_tokens;
  loader.refuse_surplus(weights, notes);
  return weights;
}

}  // namespace fathom
