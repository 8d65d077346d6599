#include "cli/bundled_model.h"

#include <cstdlib>
#include <filesystem>

namespace fathom {

std::string bundled_model() {
  namespace fs = std::filesystem;
  if (const char* chosen = std::getenv("FATHOM_MODEL"); chosen != nullptr && *chosen != '\0') return chosen;
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  const fs::path installed = program.parent_path().parent_path() / "share/fathom/bundled.gguf";
  for (const fs::path& file : {installed, fs::path(FATHOM_SOURCE_DIR "/models/bundled.gguf")})
    if (fs::is_regular_file(file, error)) return file.string();
  return {};
}

}  // namespace fathom
