// fathom inspect of an importance file of llama.cpp.
#pragma once
#include <filesystem>

namespace fathom {

// Prints what the file is, on stdout; false, and nothing printed, when it is no such file.
bool inspect_importance(const std::filesystem::path& path, bool as_json);

}  // namespace fathom
