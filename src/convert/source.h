// Where the tensors of a written model come from: a loaded checkpoint or random numbers, brought to the layout of the
// file to write.
#pragma once
#include <functional>
#include <string>
#include <unordered_map>

#include "convert/rows.h"
#include "load/load.h"

namespace fathom {

// How a container lays out what the families store in two ways.
struct Layout {
  RopeLayout rope = RopeLayout::interleaved;
  bool split_kv_b = false;
};
// Hugging Face folders: half-split rows for deepseek and llama, kv_b_proj whole. GGUF: interleaved rows, k_b_proj and
// v_b_proj.
Layout folder_layout(const ModelConfig& config);
Layout gguf_layout(const ModelConfig& config);

// Tensors by name (for_each_tensor, model/weights.h) in `layout`.
struct ModelRows {
  ModelConfig config;
  Layout layout;
  std::function<Rows(const std::string& name)> find;
};

// The tensors of `model`, which must outlive the result.
ModelRows rows_of_model(Model& model);

// The same model in another layout: rows of q_proj and k_proj reordered, kv_b_proj split or joined.
ModelRows in_layout(ModelRows source, const Layout& layout);

}  // namespace fathom
