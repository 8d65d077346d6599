#include "convert/source.h"

#include <memory>

#include "base/error.h"
#include "checkpoint/names.h"

namespace fathom {

Layout folder_layout(const ModelConfig& c) {
  return {.rope = c.uses_mla() ? RopeLayout::interleaved : RopeLayout::half_split, .split_kv_b = false};
}

Layout gguf_layout(const ModelConfig& c) { return {.rope = RopeLayout::interleaved, .split_kv_b = c.uses_mla()}; }

ModelRows rows_of_model(Model& model) {
  auto weights = std::make_shared<std::unordered_map<std::string, Weight>>();
  for_each_tensor(model.weights, model.config,
                  [&](const std::string& name, const Weight& w, const Shape&) { weights->emplace(name, w); });
  ModelRows source{.config = model.config, .layout = {model.config.rope_layout, model.weights.split_kv_b}, .find = {}};
  source.find = [weights](const std::string& name) {
    const auto it = weights->find(name);
    check(it != weights->end(), "for_each_tensor lists every tensor");
    return rows_of(it->second);
  };
  return source;
}

namespace {

std::string sibling(const TensorName& name, std::string_view part) { return hf_name({name.layer, {}, part}); }

}  // namespace

ModelRows in_layout(ModelRows source, const Layout& layout) {
  const auto from = std::make_shared<ModelRows>(std::move(source));
  ModelRows out{.config = from->config, .layout = layout, .find = {}};
  out.config.rope_layout = layout.rope;
  out.find = [from, layout](const std::string& text) {
    const ModelConfig& c = from->config;
    const TensorName name = *parse_hf_name(text);
    const int64_t H = c.num_attention_heads, N = c.qk_nope_head_dim, V = c.v_head_dim;
    const bool rotary = name.part == "self_attn.q_proj" || name.part == "self_attn.k_proj";
    if (rotary && !c.uses_mla() && layout.rope != from->layout.rope) {
      const int64_t heads = name.part == "self_attn.q_proj" ? H : c.num_key_value_heads;
      return reordered(from->find(text), layout.rope == RopeLayout::interleaved
                                             ? interleaved_from_half_split(heads, c.head_dim)
                                             : half_split_from_interleaved(heads, c.head_dim));
    }
    if (layout.split_kv_b && !from->layout.split_kv_b) {
      if (name.part == "self_attn.k_b_proj") return key_part(from->find(sibling(name, "self_attn.kv_b_proj")), H, N, V);
      if (name.part == "self_attn.v_b_proj")
        return value_part(from->find(sibling(name, "self_attn.kv_b_proj")), H, N, V);
    }
    if (!layout.split_kv_b && from->layout.split_kv_b && name.part == "self_attn.kv_b_proj")
      return joined_kv_b(from->find(sibling(name, "self_attn.k_b_proj")),
                         from->find(sibling(name, "self_attn.v_b_proj")), H, N, V);
    return from->find(text);
  };
  return out;
}

}  // namespace fathom
