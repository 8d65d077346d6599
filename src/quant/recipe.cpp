#include "quant/recipe.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/error.h"
#include "base/text/suggest.h"

namespace fathom {
namespace {

struct OutputTypeInfo {
  OutputType type;
  std::string_view name;
  DType base;  // of most matrices
  std::optional<uint32_t> file_type;
};

constexpr std::array<OutputTypeInfo, 26> kOutputTypes = {{
    {OutputType::f32, "f32", DType::f32, 0},           {OutputType::f16, "f16", DType::f16, 1},
    {OutputType::bf16, "bf16", DType::bf16, 32},       {OutputType::q8_0, "q8_0", DType::q8_0, 7},
    {OutputType::q4_0, "q4_0", DType::q4_0, 2},        {OutputType::q4_1, "q4_1", DType::q4_1, 3},
    {OutputType::q5_0, "q5_0", DType::q5_0, 8},        {OutputType::q5_1, "q5_1", DType::q5_1, 9},
    {OutputType::q2_k, "q2_k", DType::q2_k, 10},       {OutputType::q2_k_s, "q2_k_s", DType::q2_k, 21},
    {OutputType::q3_k, "q3_k", DType::q3_k, 11},       {OutputType::q3_k_s, "q3_k_s", DType::q3_k, 11},
    {OutputType::q3_k_m, "q3_k_m", DType::q3_k, 12},   {OutputType::q3_k_l, "q3_k_l", DType::q3_k, 13},
    {OutputType::q4_k, "q4_k", DType::q4_k, 14},       {OutputType::q4_k_s, "q4_k_s", DType::q4_k, 14},
    {OutputType::q4_k_m, "q4_k_m", DType::q4_k, 15},   {OutputType::q5_k, "q5_k", DType::q5_k, 16},
    {OutputType::q5_k_s, "q5_k_s", DType::q5_k, 16},   {OutputType::q5_k_m, "q5_k_m", DType::q5_k, 17},
    {OutputType::q6_k, "q6_k", DType::q6_k, 18},       {OutputType::iq4_nl, "iq4_nl", DType::iq4_nl, 25},
    {OutputType::iq4_xs, "iq4_xs", DType::iq4_xs, 30}, {OutputType::q4, "q4", DType::q4_k, std::nullopt},
    {OutputType::q5, "q5", DType::q5_k, std::nullopt}, {OutputType::q8, "q8", DType::q8_0, std::nullopt},
}};

// The parts of the family's tensors, as far as our own recipes tell them apart.
enum class Part : uint8_t {
  embedding,
  output,
  query,
  latent,
  key,
  value,
  attention_output,
  dense,
  shared,
  expert,
  expert_down
};

// The first whose text is in the name.
struct PartName {
  std::string_view text;
  Part part;
};
constexpr PartName kParts[] = {
    {"embed_tokens", Part::embedding},  {"lm_head", Part::output},   {".q_proj", Part::query},
    {".q_a_proj", Part::query},         {".q_b_proj", Part::query},  {".kv_a_proj_with_mqa", Part::latent},
    {".k_b_proj", Part::key},           {".k_proj", Part::key},      {".v_b_proj", Part::value},
    {".kv_b_proj", Part::value},        {".v_proj", Part::value},    {".o_proj", Part::attention_output},
    {".shared_experts.", Part::shared}, {".experts.", Part::expert}, {".mlp.", Part::dense},
};

// docs/quantisation.md has the measurements behind each choice.
struct OwnTypes {
  Part part;
  DType q4, q5, q8;
};
constexpr OwnTypes kOwnTypes[] = {
    {Part::embedding, DType::q6_k, DType::q8_0, DType::q8_0},
    {Part::output, DType::q6_k, DType::q8_0, DType::q8_0},
    {Part::query, DType::q5_k, DType::q6_k, DType::q8_0},
    {Part::latent, DType::q8_0, DType::q8_0, DType::q8_0},
    {Part::key, DType::q5_k, DType::q6_k, DType::q8_0},
    {Part::value, DType::q6_k, DType::q8_0, DType::q8_0},
    {Part::attention_output, DType::q5_k, DType::q6_k, DType::q8_0},
    {Part::dense, DType::q6_k, DType::q8_0, DType::q8_0},
    {Part::shared, DType::q5_k, DType::q6_k, DType::q8_0},
    {Part::expert, DType::q4_k, DType::q5_k, DType::q8_0},
    {Part::expert_down, DType::q4_k, DType::q5_k, DType::q8_0},
};

// Where llama.cpp's mixes depart from their base type (llama_tensor_get_type_impl of src/llama-quant.cpp), for the
// architectures of the family: what a tensor is, in which layers, and which type it takes. The first that fits decides.
enum class Role : uint8_t { other, key, value, attention_output, down };
enum class Where : uint8_t {
  everywhere,
  grouped_queries,  // at least four heads of queries for one of keys
  first_two,        // layers
  first_four,
  first_sixteenth,
  first_eighth,
  first_eighth_without_importance,
  first_eighth_with_importance,
  more_bits
};
struct MixRule {
  OutputType type;
  Role role;
  Where where;
  DType dtype;
};
constexpr MixRule kMixRules[] = {
    {OutputType::q4_0, Role::down, Where::first_eighth_with_importance, DType::q4_1},
    {OutputType::q5_0, Role::down, Where::first_eighth_with_importance, DType::q5_1},
    {OutputType::q2_k, Role::value, Where::grouped_queries, DType::q4_k},
    {OutputType::q2_k, Role::value, Where::everywhere, DType::q3_k},
    {OutputType::q2_k, Role::down, Where::everywhere, DType::q3_k},
    {OutputType::q2_k, Role::attention_output, Where::everywhere, DType::q3_k},
    {OutputType::q2_k_s, Role::value, Where::grouped_queries, DType::q4_k},
    {OutputType::q2_k_s, Role::down, Where::first_eighth, DType::q4_k},
    {OutputType::q3_k_m, Role::value, Where::first_two, DType::q5_k},
    {OutputType::q3_k_m, Role::value, Where::everywhere, DType::q4_k},
    {OutputType::q3_k_m, Role::down, Where::first_sixteenth, DType::q5_k},
    {OutputType::q3_k_m, Role::down, Where::everywhere, DType::q4_k},
    {OutputType::q3_k_m, Role::attention_output, Where::everywhere, DType::q4_k},
    {OutputType::q3_k_l, Role::value, Where::everywhere, DType::q5_k},
    {OutputType::q3_k_l, Role::down, Where::everywhere, DType::q5_k},
    {OutputType::q3_k_l, Role::attention_output, Where::everywhere, DType::q5_k},
    {OutputType::q4_k_s, Role::value, Where::first_four, DType::q5_k},
    {OutputType::q4_k_s, Role::down, Where::first_eighth, DType::q5_k},
    {OutputType::q4_k_m, Role::value, Where::more_bits, DType::q6_k},
    {OutputType::q4_k_m, Role::down, Where::more_bits, DType::q6_k},
    {OutputType::q5_k_m, Role::value, Where::more_bits, DType::q6_k},
    {OutputType::q5_k_m, Role::down, Where::more_bits, DType::q6_k},
    {OutputType::iq4_nl, Role::value, Where::grouped_queries, DType::q5_k},
    {OutputType::iq4_nl, Role::down, Where::first_eighth_without_importance, DType::q5_k},
    {OutputType::iq4_xs, Role::value, Where::grouped_queries, DType::q5_k},
    {OutputType::iq4_xs, Role::down, Where::first_eighth_without_importance, DType::q5_k},
};
// With eight experts keys and values are q8_0 in every mix, and these give the attention's output q5_k. Written for
// Mixtral 8x7B, but llama.cpp asks for the number alone.
constexpr int64_t kMixtralExperts = 8;
constexpr OutputType kMixtralOutput[] = {OutputType::q2_k,   OutputType::q3_k_s, OutputType::q3_k_m, OutputType::q4_k_s,
                                         OutputType::q4_k_m, OutputType::iq4_nl, OutputType::iq4_xs};

const OutputTypeInfo& about(OutputType type) noexcept { return kOutputTypes[static_cast<size_t>(type)]; }

bool is_quantised(DType t) noexcept { return info(t).block_elements > 1; }

// N of "model.layers.N."; -1 when there is none.
int64_t layer_number(std::string_view hf_name) noexcept {
  constexpr std::string_view kLayers = "layers.";
  const size_t at = hf_name.find(kLayers);
  if (at == std::string_view::npos) return -1;
  const std::string_view digits = hf_name.substr(at + kLayers.size());
  int64_t layer = -1;
  std::from_chars(digits.data(), digits.data() + digits.size(), layer);
  return layer;
}

bool stays_f32(std::string_view hf_name, std::span<const int64_t> shape) noexcept {
  return shape.size() < 2 || !hf_name.ends_with(".weight") || hf_name.ends_with("norm.weight") ||
         hf_name.ends_with("mlp.gate.weight");
}

bool is_output(std::string_view hf_name, bool tied_output) noexcept {
  return hf_name.ends_with("lm_head.weight") || (tied_output && hf_name.ends_with("embed_tokens.weight"));
}

Part part_of(std::string_view hf_name, bool tied_output) noexcept {
  if (is_output(hf_name, tied_output)) return Part::output;
  for (const PartName& p : kParts) {
    if (hf_name.find(p.text) == std::string_view::npos) continue;
    return p.part == Part::expert && hf_name.ends_with(".down_proj.weight") ? Part::expert_down : p.part;
  }
  return Part::dense;
}

DType own_dtype(OutputType type, Part part, int64_t cols) noexcept {
  const OwnTypes& own =
      *std::find_if(std::begin(kOwnTypes), std::end(kOwnTypes), [&](const OwnTypes& o) { return o.part == part; });
  const DType dtype = type == OutputType::q4 ? own.q4 : type == OutputType::q5 ? own.q5 : own.q8;
  if (cols % info(dtype).block_elements == 0) return dtype;
  return fitting_dtype(dtype == DType::q4_k ? DType::q4_0 : dtype == DType::q5_k ? DType::q5_0 : dtype, cols);
}

Role role_of(std::string_view hf_name) noexcept {
  if (hf_name.ends_with(".v_proj.weight") || hf_name.ends_with(".kv_b_proj.weight")) return Role::value;
  if (hf_name.ends_with(".k_proj.weight")) return Role::key;
  if (hf_name.ends_with(".o_proj.weight")) return Role::attention_output;
  return hf_name.ends_with(".down_proj.weight") ? Role::down : Role::other;
}

bool holds(Where where, int64_t layer, const RecipeModel& model) noexcept {
  switch (where) {
    case Where::everywhere:
      return true;
    case Where::grouped_queries:
      return model.heads_for_each_kv_head >= 4;
    case Where::first_two:
      return layer < 2;
    case Where::first_four:
      return layer < 4;
    case Where::first_sixteenth:
      return layer < model.n_layers / 16;
    case Where::first_eighth:
      return layer < model.n_layers / 8;
    case Where::first_eighth_without_importance:
      return layer < model.n_layers / 8 && !model.importance;
    case Where::first_eighth_with_importance:
      return layer < model.n_layers / 8 && model.importance;
    case Where::more_bits:
      break;
  }
  return more_bits(layer, model.n_layers);
}

// One format throughout, by name: no mix of llama.cpp.
bool is_single_format(OutputType type) noexcept {
  return type == OutputType::q3_k || type == OutputType::q4_k || type == OutputType::q5_k;
}

DType mixed_dtype(OutputType type, const RecipeModel& model, std::string_view hf_name) noexcept {
  const DType base = about(type).base;
  const int64_t layer = layer_number(hf_name);
  if (!is_quantised(base) || is_single_format(type) || layer < 0) return base;
  const Role role = role_of(hf_name);
  if (model.n_experts == kMixtralExperts && role != Role::down && role != Role::other) {
    if (role != Role::attention_output) return DType::q8_0;
    const bool finer =
        std::find(std::begin(kMixtralOutput), std::end(kMixtralOutput), type) != std::end(kMixtralOutput);
    return finer ? DType::q5_k : base;
  }
  for (const MixRule& rule : kMixRules)
    if (rule.type == type && rule.role == role && holds(rule.where, layer, model)) return rule.dtype;
  return base;
}

}  // namespace

std::string_view name(OutputType type) noexcept { return about(type).name; }

std::optional<OutputType> output_type_from_name(std::string_view name) noexcept {
  for (const OutputTypeInfo& t : kOutputTypes)
    if (equal_in_any_case(t.name, name)) return t.type;
  return std::nullopt;
}

std::string output_type_names() {
  std::string names;
  for (const OutputTypeInfo& t : kOutputTypes) {
    if (!names.empty()) names += ", ";
    names += t.name;
  }
  return names;
}

std::optional<uint32_t> gguf_file_type(OutputType type) noexcept { return about(type).file_type; }
bool is_own_recipe(OutputType type) noexcept { return !about(type).file_type; }

DType fitting_dtype(DType dtype, int64_t cols) noexcept {
  if (cols % info(dtype).block_elements == 0) return dtype;
  DType smaller = dtype;
  switch (dtype) {
    case DType::q2_k:
    case DType::q3_k:
      smaller = DType::q4_0;
      break;
    case DType::q4_k:
      smaller = DType::q5_0;
      break;
    case DType::q5_k:
      smaller = DType::q5_1;
      break;
    case DType::q6_k:
      smaller = DType::q8_0;
      break;
    case DType::iq4_xs:
      smaller = DType::iq4_nl;
      break;
    default:
      break;
  }
  return cols % info(smaller).block_elements == 0 ? smaller : DType::f16;
}

std::string gguf_dtype_names() {
  std::string names;
  for (const DTypeInfo& t : kDTypes)
    if (t.ggml_type >= 0) names += (names.empty() ? "" : ", ") + std::string(t.name);
  return names;
}

TensorRule parse_tensor_rule(std::string_view text) {
  const size_t equals = text.rfind('=');
  if (equals == std::string_view::npos || equals == 0)
    throw_bad_input("--tensor {}: needs PATTERN=TYPE, for example '*.mlp.experts.*=q4_k'", quoted_for_message(text));
  const std::string_view type = text.substr(equals + 1);
  const auto dtype = dtype_from_name(type);
  if (!dtype || info(*dtype).ggml_type < 0)
    throw_bad_input("--tensor {}: there is no element type {} in GGUF; known are {}", quoted_for_message(text),
                    quoted_for_message(type, 40), gguf_dtype_names());
  return {std::string(text.substr(0, equals)), *dtype};
}

bool matches(std::string_view pattern, std::string_view name) noexcept {
  size_t p = 0, n = 0, star = std::string_view::npos, star_name = 0;  // where the last * was, and what it took up to
  while (n < name.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++, star_name = n;
    } else if (p < pattern.size() && (pattern[p] == '?' || pattern[p] == name[n])) {
      ++p, ++n;
    } else if (star != std::string_view::npos) {
      p = star + 1, n = ++star_name;
    } else {
      return false;
    }
  }
  return pattern.find_first_not_of('*', p) == std::string_view::npos;
}

DType recipe_dtype(OutputType type, const RecipeModel& model, std::string_view hf_name,
                   std::span<const int64_t> shape) noexcept {
  if (stays_f32(hf_name, shape)) return DType::f32;
  if (is_own_recipe(type)) return own_dtype(type, part_of(hf_name, model.tied_output), shape.back());
  DType dtype = mixed_dtype(type, model, hf_name);
  if (is_quantised(dtype) && dtype != DType::q8_0 && is_output(hf_name, model.tied_output)) dtype = DType::q6_k;
  return fitting_dtype(dtype, shape.back());
}

}  // namespace fathom
