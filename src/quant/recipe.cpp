#include "quant/recipe.h"

#include <array>
#include <charconv>

namespace fathom {
namespace {

struct OutputTypeInfo {
  OutputType type;
  std::string_view name;
  DType base;  // of most matrices
  uint32_t file_type;
};

constexpr std::array<OutputTypeInfo, 14> kOutputTypes = {{
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
}};

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

uint32_t gguf_file_type(OutputType type) noexcept { return about(type).file_type; }

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

DType recipe_dtype(OutputType type, const RecipeModel& model, std::string_view hf_name,
                   std::span<const int64_t> shape) noexcept {
  if (stays_f32(hf_name, shape)) return DType::f32;
  DType dtype = about(type).base;
  if (is_quantised(dtype) && dtype != DType::q8_0 && is_output(hf_name, model.tied_output)) dtype = DType::q6_k;
  const int64_t layer = layer_number(hf_name);
  if (type == OutputType::q4_k_m && layer >= 0 && is_raised_by_q4_k_m(hf_name) && more_bits(layer, model.n_layers))
    dtype = DType::q6_k;
  return fitting_dtype(dtype, shape.back());
}

}  // namespace fathom
