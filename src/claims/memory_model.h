// A model of random weights in memory, of any shape: what speed is measured on when there is neither a checkpoint nor
// room on the disk for one.
#pragma once
#include <vector>

#include "base/machine/threads.h"
#include "load/load.h"
#include "tensor/buffer.h"

namespace fathom {

class MemoryModel {
 public:
  // The weights of random_model (convert/synth/synth.h). Matrices are of `type`, but for routers, which are float32 as
  // norms are; a width that is no whole number of the type's blocks is refused by check().
  MemoryModel(ThreadPool& pool, const ModelConfig& config, DType type, uint64_t seed = 1);
  MemoryModel(const MemoryModel&) = delete;
  MemoryModel& operator=(const MemoryModel&) = delete;

  const Model& model() const noexcept { return model_; }  // views of this
  double bytes() const noexcept { return bytes_; }

 private:
  Model model_;
  std::vector<Buffer<std::byte>> buffers_;
  double bytes_ = 0;
};

// The same tree without bytes: types and shapes alone, for what is counted.
ModelWeights described_weights(const ModelConfig& config, DType type);

}  // namespace fathom
