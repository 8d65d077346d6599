// Which element type each tensor of a written GGUF gets: the rules of `--type`.
//
// Plain types (f32, f16, bf16) are used for every matrix. A quantised type is used for every matrix except the output
// (lm_head, or the embedding when it is the output too): q8_0 keeps q8_0 there, every other takes q6_k. q4_k_m is
// llama.cpp's mix of that name: q4_k, and q6_k for v_proj or kv_b_proj and for down_proj (of dense, shared and routed
// experts) in the layers that more_bits() picks, about half.
//
// Always f32: norms, the router (mlp.gate), everything of one dimension, everything that is no ".weight".
//
// A row must be whole blocks. Where it is not (fallback of llama.cpp, src/llama-quant.cpp):
//     of 256:  q2_k, q3_k -> q4_0    q4_k -> q5_0    q5_k -> q5_1    q6_k -> q8_0
//     of 32:   f16
// V2-Lite: experts' down_proj has rows of 1408 = 5.5 x 256, so q4_k_m stores them as q5_0 and q8_0, as llama.cpp does.
//
// Differences from llama.cpp, on purpose: q2_k, q3_k, q4_k and q5_k are those formats throughout (its Q2_K, Q3_K_S,
// Q4_K_S, Q5_K_S raise some tensors). Of the two MLA layouts, kv_b_proj follows q4_k_m's rule above; the split k_b_proj
// and v_b_proj take the base type and its fallback (rows of 128: q5_0), exactly as in llama.cpp, which has no rule of
// its own for deepseek2's attn_k_b and attn_v_b. Whoever wants the absorbed K side finer (spec section 9, 12) writes
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
  q3_k,
  q4_k,
  q5_k,
  q6_k,
  q4_k_m,
  q4,
  q5,
  q8
};

std::string_view name(OutputType type) noexcept;
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
};

// hf_name: "model.layers.3.mlp.experts.5.down_proj.weight", also without an expert's number for a stack of experts; the
// split MLA matrices are "...self_attn.k_b_proj.weight" and "...v_b_proj.weight". shape: as it will be stored,
// outermost first; its last dimension decides about fallbacks.
DType recipe_dtype(OutputType type, const RecipeModel& model, std::string_view hf_name,
                   std::span<const int64_t> shape) noexcept;

// The layers to which q4_k_m gives more bits: the first and the last eighth, and every third between (use_more_bits of
// llama.cpp).
constexpr bool more_bits(int64_t layer, int64_t n_layers) noexcept {
  return layer < n_layers / 8 || layer >= 7 * n_layers / 8 || (layer - n_layers / 8) % 3 == 2;
}

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
