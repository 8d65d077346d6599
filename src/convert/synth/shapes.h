// The shapes of the published models, by name.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "config/config.h"

namespace fathom {

// "v2", "v2-lite", "coder-v2" (the 236B one), "moe-16b", "dense-67b", "dense-7b", and "tiny": a V2 of 2 million
// parameters with every feature (query latent, groups, YaRN). Nothing for another name.
std::optional<ModelConfig> shape_by_name(std::string_view name);
std::string shape_names();

}  // namespace fathom
