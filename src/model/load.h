// A checkpoint as a model: folder of safetensors or GGUF file, decided by what is there.
#pragma once
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/tensor_source.h"
#include "model/config.h"
#include "model/weights.h"

namespace fathom {

struct Model {
  ModelConfig config;
  ModelWeights weights;                  // views of the bytes of `source`
  std::shared_ptr<TensorSource> source;  // the mapped file or files
  std::filesystem::path path;            // as the user gave it
};

// Opens a folder (config.json and safetensors), a .safetensors file beside a config.json, or a GGUF file (the first of
// a split one). Maps and checks; reads no weights, so the time does not depend on their size. bad_input for a tensor
// that is missing, of another shape than the config needs, or not part of the model; unsupported for what fathom does
// not implement, by name.
Model load_model(const std::filesystem::path& path);

// Weights of `config` as views of `source`, by the same rules. `source` must outlive the result.
ModelWeights load_weights(const ModelConfig& config, const TensorSource& source);

// The name of every tensor that holds a NaN or an infinity, with the row of the first ("model.norm.weight, row 0").
// Reads all weights.
std::vector<std::string> find_non_finite(const Model& model);

}  // namespace fathom
