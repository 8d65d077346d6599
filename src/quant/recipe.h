// Which element type each tensor of a written GGUF gets: the rules of `--type`.
//
// Plain types (f32, f16, bf16) are used for every matrix. A quantised type is used for every matrix except the output
// (lm_head, or the embedding when it is the output too): q8_0 keeps q8_0 there, every other takes q6_k. The names of
// llama.cpp's mixes (q2_k_s, q3_k_m, ..., iq4_xs) give each tensor the type that its llama-quantize gives it:
// recipe.cpp has the rules as a table. They depend on the layer, and some on whether there is importance data.
//
// Always f32: norms, the router (mlp.gate), everything of one dimension, everything that is no ".weight".
//
// A row must be whole blocks. Where it is not (fallback of llama.cpp, src/llama-quant.cpp):
//     of 256:  q2_k, q3_k -> q4_0    q4_k -> q5_0    q5_k -> q5_1    q6_k -> q8_0    iq4_xs -> iq4_nl
//     of 32:   f16
// V2-Lite: experts' down_proj has rows of 1408 = 5.5 x 256, so q4_k_m stores them as q5_0 and q8_0, as llama.cpp does.
//
// A difference from llama.cpp, on purpose: q3_k, q4_k and q5_k are those formats throughout, where llama-quantize takes
// them for the _M mixes. Of the two MLA layouts, kv_b_proj follows the mixes' rule for values; the split k_b_proj and
// v_b_proj take the base type and its fallback (rows of 128: q5_0 for q4_k), exactly as in llama.cpp, which has no rule
// of its own for deepseek2's attn_k_b and attn_v_b. Whoever wants the absorbed K side finer (spec section 9, 12) writes
// q5_1 or q8_0 throughout.
//
// q4, q5 and q8 are fathom's own: types by the part that a tensor plays, chosen by what each costs on trained weights
// (docs/quantisation.md), and always encoded by the thorough search (quant/encode.h). recipe.cpp has the table. Rows of
// theirs that are no whole blocks of 256 fall back to a type of about the same bytes instead:
//     q4_k -> q4_0    q5_k -> q5_0    q6_k -> q8_0
//
// Rules (`--tensor 'PATTERN=TYPE'`) come before the recipe, for every matrix; the first that matches decides.
#pragma once
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "tensor/dtype.h"

namespace fathom {

// In the order of their names in messages.
enum class OutputType : uint8_t {
  f32,
  f16,
  bf16,
  q8_0,
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q2_k,
  q2_k_s,
  q3_k,
  q3_k_s,
  q3_k_m,
  q3_k_l,
  q4_k,
  q4_k_s,
  q4_k_m,
  q5_k,
  q5_k_s,
  q5_k_m,
  q6_k,
  iq4_nl,
  iq4_xs,
  q4,
  q5,
  q8
};

std::string_view name(OutputType type) noexcept;
// In any case: "Q4_K_M" too.
std::optional<OutputType> output_type_from_name(std::string_view name) noexcept;
// "f32, f16, bf16, ...": for help texts and messages.
std::string output_type_names();
// The number that llama.cpp keeps under general.file_type (enum llama_ftype); none for our own recipes.
std::optional<uint32_t> gguf_file_type(OutputType type) noexcept;
// q4, q5, q8.
bool is_own_recipe(OutputType type) noexcept;

struct RecipeModel {
  int64_t n_layers = 0;
  bool tied_output = false;  // tie_word_embeddings: no lm_head
  int64_t n_experts = 0;     // routed, of a layer
  int64_t heads_for_each_kv_head = 1;
  bool importance = false;  // there is data of it
};

// hf_name: "model.layers.3.mlp.experts.5.down_proj.weight", also without an expert's number for a stack of experts; the
// split MLA matrices are "...self_attn.k_b_proj.weight" and "...v_b_proj.weight". shape: as it will be stored,
// outermost first; its last dimension decides about fallbacks.
DType recipe_dtype(OutputType type, const RecipeModel& model, std::string_view hf_name,
                   std::span<const int64_t> shape) noexcept;

// The layers to which q4_k_m and q5_k_m give more bits: the first and the last eighth, and every third between
// (use_more_bits of llama.cpp).
constexpr bool more_bits(int64_t layer, int64_t n_layers) noexcept {
  return layer < n_layers / 8 || layer >= 7 * n_layers / 8 || (layer - n_layers / 8) % 3 == 2;
}

// "f32, f16, ...": the element types that a GGUF file may have here, for messages.
std::string gguf_dtype_names();

// "*.self_attn.*=q6_k": the tensors whose Hugging Face name matches the pattern (`*` any characters, `?` one) get that
// type, or what fitting_dtype makes of it.
struct TensorRule {
  std::string pattern;
  DType dtype = DType::f32;
};
// bad_input for text without "=", an empty pattern, or a type that GGUF does not have.
TensorRule parse_tensor_rule(std::string_view text);
bool matches(std::string_view pattern, std::string_view name) noexcept;

// The type itself, or what stands in for it when rows of `cols` are no whole number of its blocks.
DType fitting_dtype(DType dtype, int64_t cols) noexcept;

}  // namespace fathom
