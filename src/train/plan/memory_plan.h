// What a run will need, before it starts.
#pragma once
#include <string>
#include <vector>

#include "train/config/train_config.h"

namespace fathom {

struct MemoryClass {
  std::string name;
  int64_t bytes = 0;
};

// Parameters, optimizer, gradients; saved activations of one micro-batch; the largest scratch of one layer; logits of
// one chunk. Sums of the shapes that model/saved.h and the layers take, so an upper estimate of the arena: tests hold
// it against the real one.
std::vector<MemoryClass> plan_memory(const TrainConfig& config);
int64_t total_bytes(const std::vector<MemoryClass>& classes);

}  // namespace fathom
