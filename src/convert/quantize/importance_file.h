// Importance data (convert/quantize/importance.h) in files: our own, and llama.cpp's in both directions.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "convert/quantize/importance.h"

namespace fathom {

struct ImportanceFile {
  Importance importance;
  std::vector<std::string> unknown = {};  // tensors in it that the model has not
  bool counted = true;                    // false: how many tokens it saw is an estimate
};

// What the file is, is read from its bytes, not from its name: our safetensors, or an importance file of llama.cpp
// (checkpoint/imatrix.h). Of the latter, experts come apart, and attn_k_b and attn_v_b have a group for each head.
//
// bad_input for anything else, and for data whose shape is not that of the model's matrix of the name.
ImportanceFile read_importance(const std::filesystem::path& path, const ModelConfig& config);

// Where the data came from, for files that say so.
struct ImportanceOrigin {
  std::string text;  // its name
  int64_t window = 512;
};

// bad_input for a name that ends neither in .safetensors nor in .gguf.
void check_importance_name(const std::filesystem::path& path);

// Written whole or not at all.
//   .safetensors  for each matrix NAME, float32 [cols] or [groups, cols], and "NAME.rows" [1]
//   .gguf         as llama.cpp's llama-imatrix writes it, for its llama-quantize
void save_importance(const Importance& importance, const ModelConfig& config, const ImportanceOrigin& origin,
                     const std::filesystem::path& path);

}  // namespace fathom
