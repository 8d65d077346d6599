// What models a server is told to serve, and under which names.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

namespace fathom {

struct NamedPath {
  std::string name;
  std::filesystem::path path;
};

// From each -m: PATH, or NAME=PATH where no file has that whole name and NAME has no slash; for PATH may stand
// OWNER/NAME of a pulled model (model_store.h). Without a name it is that of the file or folder: "DeepSeek-V2-Lite",
// and "bundled" of bundled.gguf. only_name: --name; empty: not given. bad_input for an empty name, a name that occurs
// twice, and --name with several models.
std::vector<NamedPath> named_paths(const std::vector<std::string>& models, const std::string& only_name);

}  // namespace fathom
