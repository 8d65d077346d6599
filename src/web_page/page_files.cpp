#include "web_page/page_files.h"

#include <algorithm>

namespace fathom {

const PageFile* find_page_file(std::string_view path) {
  const auto files = page_files();
  const auto found = std::ranges::lower_bound(files, path, {}, &PageFile::path);
  return found != files.end() && found->path == path ? &*found : nullptr;
}

}  // namespace fathom
