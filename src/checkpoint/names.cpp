#include "checkpoint/names.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace fathom {
namespace {

struct Row {
  std::string_view hf, gguf;
};

// Sources: the files that save_pretrained writes; the tensor names of llama.cpp (llama-arch.cpp).
constexpr std::array kOutsideLayers = std::to_array<Row>({
    {"model.embed_tokens", "token_embd"},
    {"model.norm", "output_norm"},
    {"lm_head", "output"},
});
constexpr std::array kInLayers = std::to_array<Row>({
    {"input_layernorm", "attn_norm"},
    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.q_a_proj", "attn_q_a"},
    {"self_attn.q_a_layernorm", "attn_q_a_norm"},
    {"self_attn.q_b_proj", "attn_q_b"},
    {"self_attn.kv_a_proj_with_mqa", "attn_kv_a_mqa"},
    {"self_attn.kv_a_layernorm", "attn_kv_a_norm"},
    {"self_attn.kv_b_proj", "attn_kv_b"},
    {"self_attn.k_b_proj", "attn_k_b"},
    {"self_attn.v_b_proj", "attn_v_b"},
    {"self_attn.o_proj", "attn_output"},
    {"post_attention_layernorm", "ffn_norm"},
    {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},
    {"mlp.gate", "ffn_gate_inp"},
    {kScoreBiasPart, "exp_probs_b"},
    {"mlp.experts.gate_proj", "ffn_gate_exps"},
    {"mlp.experts.up_proj", "ffn_up_exps"},
    {"mlp.experts.down_proj", "ffn_down_exps"},
    {"mlp.shared_experts.gate_proj", "ffn_gate_shexp"},
    {"mlp.shared_experts.up_proj", "ffn_up_shexp"},
    {"mlp.shared_experts.down_proj", "ffn_down_shexp"},
});
constexpr std::string_view kExperts = "mlp.experts.";

template <size_t n>
const Row* find(const std::array<Row, n>& table, std::string_view Row::*column, std::string_view name) {
  const auto it = std::find_if(table.begin(), table.end(), [&](const Row& r) { return r.*column == name; });
  return it == table.end() ? nullptr : &*it;
}

bool take_prefix(std::string_view& text, std::string_view prefix) {
  if (!text.starts_with(prefix)) return false;
  text.remove_prefix(prefix.size());
  return true;
}

// "12." at the front, without leading zeros and below 10^6.
std::optional<int64_t> take_number(std::string_view& text) {
  const size_t dot = text.find('.');
  if (dot == 0 || dot > 6 || (dot > 1 && text[0] == '0')) return std::nullopt;
  int64_t n = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + dot, n);
  if (error != std::errc() || end != text.data() + dot || text[0] == '-') return std::nullopt;
  text.remove_prefix(dot + 1);
  return n;
}

bool take_suffix(std::string_view& text, std::string_view suffix) {
  if (!text.ends_with(suffix)) return false;
  text.remove_suffix(suffix.size());
  return true;
}

// What follows the part of a name.
std::string_view hf_suffix(std::string_view part) { return part == kScoreBiasPart ? "" : ".weight"; }
std::string_view gguf_suffix(std::string_view part) { return part == kScoreBiasPart ? ".bias" : ".weight"; }

}  // namespace

std::optional<TensorName> parse_hf_name(std::string_view text) {
  const bool weight = take_suffix(text, ".weight");
  TensorName name;
  if (!take_prefix(text, "model.layers.")) {
    if (!weight) return std::nullopt;
    const Row* row = find(kOutsideLayers, &Row::hf, text);
    if (row == nullptr) return std::nullopt;
    name.part = row->hf;
    return name;
  }
  name.layer = take_number(text);
  if (!name.layer) return std::nullopt;
  std::string part(text);
  std::string_view rest = text;
  if (take_prefix(rest, kExperts)) {
    name.expert = take_number(rest);
    if (!name.expert) return std::nullopt;
    part = fmt::format("{}{}", kExperts, rest);
  }
  const Row* row = find(kInLayers, &Row::hf, part);
  if (row == nullptr || weight == hf_suffix(row->hf).empty()) return std::nullopt;
  name.part = row->hf;
  return name;
}

std::string gguf_name(const TensorName& name) {
  const Row* row = name.layer ? find(kInLayers, &Row::hf, name.part) : find(kOutsideLayers, &Row::hf, name.part);
  const std::string_view part = row != nullptr ? row->gguf : name.part;
  return name.layer ? fmt::format("blk.{}.{}{}", *name.layer, part, gguf_suffix(name.part))
                    : fmt::format("{}.weight", part);
}

std::string hf_name(const TensorName& name) {
  if (!name.layer) return fmt::format("{}.weight", name.part);
  if (!name.expert) return fmt::format("model.layers.{}.{}{}", *name.layer, name.part, hf_suffix(name.part));
  return fmt::format("model.layers.{}.{}{}.{}.weight", *name.layer, kExperts, *name.expert,
                     name.part.substr(kExperts.size()));
}

std::optional<TensorName> parse_gguf_name(std::string_view text) {
  const bool weight = take_suffix(text, ".weight");
  if (!weight && !take_suffix(text, ".bias")) return std::nullopt;
  TensorName name;
  if (take_prefix(text, "blk.")) {
    name.layer = take_number(text);
    if (!name.layer) return std::nullopt;
  }
  const Row* row = name.layer ? find(kInLayers, &Row::gguf, text) : find(kOutsideLayers, &Row::gguf, text);
  if (row == nullptr || weight != (gguf_suffix(row->hf) == ".weight")) return std::nullopt;
  name.part = row->hf;
  return name;
}

}  // namespace fathom
