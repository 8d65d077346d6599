// Which tensors a written model has, in which element type, and from which rows each is made.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "convert/source.h"
#include "quant/recipe.h"

namespace fathom {

struct OutTensor {
  std::string name;  // in the file
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  std::vector<std::string> pieces;  // names of its matrices, one after the other: several for stacked experts
  bool scales = false;              // holds the 128 x 128 scales of its piece, not the matrix
  DType asked = DType::f32;         // GGUF: what dtype stands in for where rows are no whole blocks; else the same
};

// What `--type` may say. Absent everywhere means: keep the element types as far as the container has them.
struct WrittenType {
  std::optional<OutputType> type;
  std::vector<TensorRule> rules = {};  // GGUF only: before the type, for matrices; the first that matches
  bool f8_blocks = false;              // folders only: F8_E4M3 with weight_scale_inv, the rest bf16
  bool importance = false;             // there is importance data: some of llama.cpp's mixes differ then
};
// "bf16", "q4_k_m", "F8_E4M3", ..., in any case; bad_input with the list for anything else.
WrittenType parse_written_type(const std::string& text);
std::string written_type_names();

// The tensors of a Hugging Face folder, experts one by one. Plain types only (unsupported for the others): every tensor
// in that type; f8: matrices but the embedding, the head and the routers. Kept types: quantised ones become bf16.
std::vector<OutTensor> plan_folder(const ModelRows& source, const WrittenType& type);
// torch_dtype of config.json: of the embedding.
std::string torch_dtype(const std::vector<OutTensor>& plan);

// The tensors of a GGUF file, experts stacked, types by quant/recipe.h. Kept types: norms and routers are f32
// (llama.cpp wants them so), f8 becomes bf16, and k_b_proj, which is made anew when the source holds a quantised
// kv_b_proj, q8_0.
//
// Rules match the names of the pieces, or the tensor's GGUF name; k_b_proj and v_b_proj also go by the name of the
// kv_b_proj that they are parts of. bad_input for a rule that matches no matrix, and for one that matches some experts
// of a layer and not the others, since they are stored as one tensor.
std::vector<OutTensor> plan_gguf(const ModelRows& source, const WrittenType& type);
// general.file_type: the one asked for, or that of the type which holds the most numbers.
uint32_t file_type_of(const std::vector<OutTensor>& plan, const WrittenType& type);

uint64_t byte_count(const OutTensor& tensor);

}  // namespace fathom
