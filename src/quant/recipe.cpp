#include "quant/recipe.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/error.h"

namespace fathom {
namespace {

struct OutputTypeInfo {
  OutputType type;
  std::string_view name;
  DType base;  // of most matrices
  std::optional<uint32_t> file_type;
};

constexpr std::array<OutputTypeInfo, 17> kOutputTypes = {{
    {OutputType::f32, "f32", DType::f32, 0},
    {OutputType::f16, "f16", DType::f16, 1},
    {OutputType::bf16, "bf16", DType::bf16, 32},
    {OutputType::q8_0, "q8_0", DType::q8_0, 7},
    {OutputType::q4_0, "q4_0", DType::q4_0, 2},
    {OutputType::q4_1, "q4_1", DType::q4_1, 3},
    {OutputType::q5_0, "q5_0", DType::q5_0, 8},
    {OutputType::q5_1, "q5_1", DType::q5_1, 9},
    {OutputType::q2_k, "q2_k", DType::q2_k, 10},
    {OutputType::q3_k, "q3_k", DType::q3_k, 11},
    {OutputType::q4_k, "q4_k", DType::q4_k, 14},
    {OutputType::q5_k, "q5_k", DType::q5_k, 16},
    {OutputType::q6_k, "q6_k", DType::q6_k, 18},
    {OutputType::q4_k_m, "q4_k_m", DType::q4_k, 15},
    {OutputType::q4, "q4", DType::q4_k, std::nullopt},
    {OutputType::q5, "q5", DType::q5_k, std::nullopt},
    {OutputType::q8, "q8", DType::q8_0, std::nullopt},
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

const OutputTypeInfo& about(OutputType type) noexcept { return kOutputTypes[static_cast<size_t>(type)]; }

std::string dtype_names_of_gguf() {
  std::string names;
  for (const DTypeInfo& t : kDTypes)
    if (t.ggml_type >= 0) names += (names.empty() ? "" : ", ") + std::string(t.name);
  return names;
}

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

bool is_raised_by_q4_k_m(std::string_view hf_name) noexcept {
  return hf_name.ends_with(".v_proj.weight") || hf_name.ends_with(".kv_b_proj.weight") ||
         hf_name.ends_with(".down_proj.weight");
}

}  // namespace

std::string_view name(OutputType type) noexcept { return about(type).name; }

std::optional<OutputType> output_type_from_name(std::string_view name) noexcept {
  for (const OutputTypeInfo& t : kOutputTypes)
    if (t.name == name) return t.type;
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
    default:
      break;
  }
  return cols % info(smaller).block_elements == 0 ? smaller : DType::f16;
}

TensorRule parse_tensor_rule(std::string_view text) {
  const size_t equals = text.rfind('=');
  if (equals == std::string_view::npos || equals == 0)
    throw_bad_input("--tensor {}: needs PATTERN=TYPE, for example '*.mlp.experts.*=q4_k'", quoted_for_message(text));
  const std::string_view type = text.substr(equals + 1);
  const auto dtype = dtype_from_name(type);
  if (!dtype || info(*dtype).ggml_type < 0)
    throw_bad_input("--tensor {}: there is no element type {} in GGUF; known are {}", quoted_for_message(text),
                    quoted_for_message(type, 40), dtype_names_of_gguf());
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
  DType dtype = about(type).base;
  if (is_quantised(dtype) && dtype != DType::q8_0 && is_output(hf_name, model.tied_output)) dtype = DType::q6_k;
  const int64_t layer = layer_number(hf_name);
  if (type == OutputType::q4_k_m && layer >= 0 && is_raised_by_q4_k_m(hf_name) && more_bits(layer, model.n_layers))
    dtype = DType::q6_k;
  return fitting_dtype(dtype, shape.back());
}

}  // namespace fathom
