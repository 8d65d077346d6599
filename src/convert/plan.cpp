#include "convert/plan.h"

#include <algorithm>
#include <map>
#include <numeric>
#include <unordered_map>

#include "base/error.h"
#include "base/text/suggest.h"
#include "checkpoint/ggml_types.h"
#include "checkpoint/names.h"
#include "quant/formats.h"

namespace fathom {
namespace {

constexpr std::string_view kF8Name = "f8_e4m3";

bool is_plain(DType t) { return !info(t).safetensors.empty() && t != DType::f8_e4m3; }

// Norms and routers: what llama.cpp, and the recipes, hold in f32.
bool is_small(const std::string& name, const Shape& shape) {
  return shape.size() == 1 || name.ends_with("mlp.gate.weight");
}

DType folder_dtype(const ModelRows& source, const std::string& name, const Shape& shape, const WrittenType& type) {
  if (name.ends_with(kScoreBiasPart)) return DType::f32;  // rounded, it would choose other experts
  if (type.f8_blocks) {
    const bool whole = is_small(name, shape) || name == "model.embed_tokens.weight" || name == "lm_head.weight";
    return whole ? DType::bf16 : DType::f8_e4m3;
  }
  if (type.type) return *dtype_from_name(fathom::name(*type.type));
  const Rows rows = source.find(name);
  const bool f8_as_it_is = rows.origin == DType::f8_e4m3 && rows.stored_row != nullptr && rows.scale_inv != nullptr;
  return rows.origin && (is_plain(*rows.origin) || f8_as_it_is) ? *rows.origin : DType::bf16;
}

DType gguf_dtype(const ModelRows& source, const std::string& name, const std::vector<int64_t>& shape,
                 const WrittenType& type) {
  const ModelConfig& c = source.config;
  const RecipeModel model{.n_layers = c.num_hidden_layers,
                          .tied_output = c.tie_word_embeddings,
                          .n_experts = c.n_routed_experts,
                          .heads_for_each_kv_head = c.num_attention_heads / c.num_key_value_heads,
                          .importance = type.importance};
  if (type.type) return recipe_dtype(*type.type, model, name, shape);
  if (is_small(name, shape)) return DType::f32;
  const Rows rows = source.find(name);
  if (!rows.origin || *rows.origin == DType::f8_e4m3) return DType::bf16;
  // Quantised, but put together anew (k_b_proj from kv_b_proj: blocks run along the other dimension): finer, so that
  // little is lost.
  return is_plain(*rows.origin) || rows.stored_row ? *rows.origin : fitting_dtype(DType::q8_0, shape.back());
}

// Whether the rule is meant for this piece: by its own name, that of its GGUF tensor, or that of the kv_b_proj that it
// is a part of.
bool names_piece(const TensorRule& rule, const std::string& piece) {
  if (matches(rule.pattern, piece) || matches(rule.pattern, gguf_name(*parse_hf_name(piece)))) return true;
  for (std::string_view part : {".k_b_proj.", ".v_b_proj."})
    if (const size_t at = piece.find(part); at != std::string::npos)
      return matches(rule.pattern, std::string(piece).replace(at, part.size(), ".kv_b_proj."));
  return false;
}

bool names_tensor(const TensorRule& rule, const OutTensor& t) {
  const auto n = std::count_if(t.pieces.begin(), t.pieces.end(), [&](const auto& p) { return names_piece(rule, p); });
  if (n != 0 && n != std::ssize(t.pieces))
    throw_bad_input(
        "--tensor {}: matches {} of the {} experts in {}; GGUF stores them as one tensor of one type, so the pattern "
        "must match all (a * in place of the expert's number)",
        quoted_for_message(rule.pattern), n, t.pieces.size(), t.name);
  return n != 0;
}

void apply_rules(const std::vector<TensorRule>& rules, std::vector<OutTensor>& plan) {
  std::vector<bool> decided(plan.size());
  for (const TensorRule& rule : rules) {
    bool used = false;
    for (size_t i = 0; i < plan.size(); ++i) {
      if (plan[i].shape.size() < 2 || !names_tensor(rule, plan[i])) continue;
      used = true;
      if (!decided[i]) plan[i].asked = rule.dtype, plan[i].dtype = fitting_dtype(rule.dtype, plan[i].shape.back());
      decided[i] = true;
    }
    if (!used)
      throw_bad_input(
          "--tensor {}: matches no matrix of the model; patterns (* and ?) are for whole names, such as {} or {}; "
          "`fathom inspect MODEL --tensors` lists all",
          quoted_for_message(rule.pattern), plan.back().pieces.front(), plan.back().name);
  }
}

}  // namespace

WrittenType parse_written_type(const std::string& text) {
  if (equal_in_any_case(text, kF8Name)) return {.type = {}, .rules = {}, .f8_blocks = true};
  const auto type = output_type_from_name(text);
  if (const auto foreign = type ? std::nullopt : foreign_type(text))
    throw_unsupported("--type {}: {} is {}; known are {}", quoted_for_message(text), foreign->name, foreign->kind,
                      written_type_names());
  if (!type)
    throw_bad_input("--type {}: there is no such element type; known are {}", quoted_for_message(text, 40),
                    written_type_names());
  return {.type = type, .rules = {}, .f8_blocks = false};
}

std::string written_type_names() { return fmt::format("{}, {} (folders only)", output_type_names(), kF8Name); }

std::vector<OutTensor> plan_folder(const ModelRows& source, const WrittenType& type) {
  if (!type.rules.empty()) throw_unsupported("--tensor is for GGUF files; name the output something.gguf");
  if (type.type) {
    const auto dtype = dtype_from_name(name(*type.type));
    if (!dtype || !is_plain(*dtype))
      throw_unsupported(
          "{} has no form in safetensors; a folder is written as f32, f16, bf16 or {}. Name the output something.gguf "
          "for {}",
          name(*type.type), kF8Name, name(*type.type));
  }
  std::vector<OutTensor> plan;
  ModelWeights tree = empty_weights(source.config, source.layout.split_kv_b);
  for_each_tensor(tree, source.config, [&](const std::string& name, const Weight&, const Shape& shape) {
    const DType dtype = folder_dtype(source, name, shape, type);
    plan.push_back({name, dtype, shape, {name}, false, dtype});
    if (dtype != DType::f8_e4m3) return;
    const auto blocks = [](int64_t n) { return (n + kFp8Block - 1) / kFp8Block; };
    plan.push_back({name + "_scale_inv", DType::f32, {blocks(shape[0]), blocks(shape[1])}, {name}, true, DType::f32});
  });
  return plan;
}

std::string torch_dtype(const std::vector<OutTensor>& plan) {
  switch (plan.front().dtype) {
    case DType::f32:
      return "float32";
    case DType::f16:
      return "float16";
    default:
      return "bfloat16";
  }
}

std::vector<OutTensor> plan_gguf(const ModelRows& source, const WrittenType& type) {
  if (type.f8_blocks) throw_unsupported("GGUF has no F8_E4M3; name the output as a folder, or take q8_0");
  std::vector<OutTensor> plan;
  std::unordered_map<std::string, size_t> place;
  const ModelConfig& c = source.config;
  ModelWeights tree = empty_weights(c, source.layout.split_kv_b);
  for_each_tensor(tree, c, [&](const std::string& name, const Weight&, const Shape& shape) {
    const TensorName parsed = *parse_hf_name(name);
    const std::string stored = gguf_name(parsed);
    if (const auto it = place.find(stored); it != place.end()) {
      plan[it->second].pieces.push_back(name);
      return;
    }
    std::vector<int64_t> stored_shape = shape;
    if (parsed.expert) stored_shape.insert(stored_shape.begin(), c.n_routed_experts);
    if (parsed.part == "self_attn.k_b_proj" || parsed.part == "self_attn.v_b_proj")
      stored_shape = {c.num_attention_heads, shape[0] / c.num_attention_heads, shape[1]};
    place.emplace(stored, plan.size());
    std::vector<int64_t> whole_blocks = stored_shape;
    whole_blocks.back() *= kSuperBlock;
    plan.push_back({.name = stored,
                    .dtype = gguf_dtype(source, name, stored_shape, type),
                    .shape = stored_shape,
                    .pieces = {name},
                    .scales = false,
                    .asked = gguf_dtype(source, name, whole_blocks, type)});
  });
  apply_rules(type.rules, plan);
  return plan;
}

uint32_t file_type_of(const std::vector<OutTensor>& plan, const WrittenType& type) {
  if (type.type && gguf_file_type(*type.type)) return *gguf_file_type(*type.type);
  std::map<DType, int64_t> elements;
  for (const OutTensor& t : plan)
    elements[t.dtype] += std::accumulate(t.shape.begin(), t.shape.end(), int64_t{1}, std::multiplies<>());
  const auto most = std::max_element(elements.begin(), elements.end(),
                                     [](const auto& a, const auto& b) { return a.second < b.second; });
  return gguf_file_type(output_type_from_name(name(most->first)).value_or(OutputType::f32)).value_or(0);
}

uint64_t byte_count(const OutTensor& t) {
  const int64_t rows = std::accumulate(t.shape.begin(), t.shape.end() - 1, int64_t{1}, std::multiplies<>());
  return static_cast<uint64_t>(rows * row_bytes(t.dtype, t.shape.back()));
}

}  // namespace fathom
