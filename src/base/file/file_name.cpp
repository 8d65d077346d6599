#include "base/file/file_name.h"

#include "base/text/suggest.h"

namespace fathom {

bool is_hidden(const std::filesystem::path& path) { return path.filename().string().starts_with('.'); }

bool has_extension(const std::filesystem::path& path, std::string_view extension) {
  return equal_in_any_case(path.extension().string(), extension);
}

}  // namespace fathom
