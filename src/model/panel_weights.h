// The products' weights of a model, repacked for the integer kernels (kernels/panels.h): a copy in memory of its own,
// in huge pages where the system gives them, made once before a run.
#pragma once
#include <cstdint>
#include <functional>
#include <memory>

#include "base/threads.h"
#include "model/config.h"
#include "model/weights.h"

namespace fathom {

class PanelWeights {
 public:
  using ProgressFn = std::function<void(int64_t bytes_done, int64_t bytes)>;

  PanelWeights() = default;

  // Bytes that the panels of these weights take: about what the file has for them. 0: no weight is of a type that has
  // panels.
  static int64_t bytes(const ModelConfig& config, ModelWeights& weights);

  // Packs every matrix that a linear layer multiplies with and whose type has panels, and sets Weight::panels in
  // `weights`, which are valid as long as this lives. Pages of mapped files are given back as they are read, so that
  // memory does not hold the model twice. Throws std::bad_alloc.
  PanelWeights(ThreadPool& pool, const ModelConfig& config, ModelWeights& weights, const ProgressFn& progress = {});

 private:
  struct Free {
    size_t bytes;
    void operator()(std::byte* p) const noexcept;
  };
  std::unique_ptr<std::byte, Free> memory_;
};

}  // namespace fathom
