// A model for a command: loaded, with what people should know about it said on stderr.
#pragma once
#include <filesystem>

#include "load/load.h"

namespace fathom {

// load_model, then its notices.
Model open_model(const std::filesystem::path& path);

}  // namespace fathom
