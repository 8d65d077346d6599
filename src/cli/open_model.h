// A model for a command: loaded, with what people should know about it said on stderr; and JSON for programs.
#pragma once
#include <filesystem>

#include "base/json.h"
#include "model/load.h"

namespace fathom {

// load_model, then its notices.
Model open_model(const std::filesystem::path& path);

// One line on stdout. Strings that are not UTF-8, as names of files may be, get U+FFFD, so that the line is JSON.
void print_json(json::value value);

}  // namespace fathom
