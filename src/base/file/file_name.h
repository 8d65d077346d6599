// What the name of a file says of it.
#pragma once
#include <filesystem>
#include <string_view>

namespace fathom {

// As macOS's ._NAME, which it leaves beside NAME on disks of other systems.
bool is_hidden(const std::filesystem::path& path);

// Whether the name ends so, in any case: .gguf and .GGUF.
bool has_extension(const std::filesystem::path& path, std::string_view extension);

}  // namespace fathom
