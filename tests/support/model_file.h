// A random model whose tensors lie in a file, as a loaded one's do.
#pragma once
#include <filesystem>

#include "checkpoint/gguf.h"
#include "load/load.h"
#include "support/random_model.h"

namespace fathom::testing {

// Writes the model's tensors to `path` and maps them. Names are those of Hugging Face; the config is that of `m`.
inline Model model_in_file(const RandomModel& m, const std::filesystem::path& path) {
  ModelWeights weights = m.weights;
  std::vector<GgufTensorPlan> plan;
  for_each_tensor(weights, m.config, [&](const std::string& name, Weight& w, const Shape& shape) {
    plan.push_back({.name = name, .dtype = w.dtype, .shape = shape});
  });
  GgufWriter writer(path, GgufMetadata(), plan);
  for_each_tensor(weights, m.config, [&](const std::string&, Weight& w, const Shape&) {
    writer.append({w.data, static_cast<size_t>(w.rows * w.bytes_per_row())});
  });
  writer.finish();
  Model model{.config = m.config, .weights = weights, .source = GgufSource::open(path), .path = path};
  for_each_tensor(model.weights, model.config,
                  [&](const std::string& name, Weight& w, const Shape&) { w = as_matrix(*model.source->find(name)); });
  if (model.config.tie_word_embeddings) model.weights.lm_head = model.weights.embed_tokens;
  return model;
}

}  // namespace fathom::testing
