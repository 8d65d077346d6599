// training/optimizer.safetensors: master weights and both moments, float32, flat as the parameters lie.
//
// Written and read by ranges: optimisers that hold a part each (optimizer.h) make the file of one, byte for byte, and
// any number of them goes on from it.
#pragma once
#include <filesystem>
#include <functional>
#include <span>
#include <vector>

#include "train/optimizer.h"
#include "train/parameters.h"

namespace fathom {

enum class FlatTensor : uint8_t { master, first_moment, second_moment };

// Where the numbers come from. The ranges follow one another and cover the parameters; read is called with each of them
// in order, for one tensor after the other, and what it returns is valid until the next call. So a process that has
// only a part may receive the others as they are written.
struct OptimizerParts {
  std::vector<ParameterRange> ranges;
  std::function<std::span<const float>(FlatTensor tensor, const ParameterRange& range)> read;
};

// Of an optimiser of all parameters.
OptimizerParts whole_optimizer(const Parameters& parameters, const AdamW& optimizer);

void write_optimizer_file(const std::filesystem::path& path, const OptimizerParts& parts);

// All master weights, and the moments of the optimiser's range. bad_input when the file is of another model.
void read_optimizer_file(const std::filesystem::path& path, Parameters& parameters, AdamW& optimizer);

}  // namespace fathom
