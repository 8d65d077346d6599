#include "cli/bundled_model.h"

#include <cstdlib>
#include <filesystem>

namespace fathom {

std::string bundled_model() {
  namespace fs = std::filesystem;
  if (const char* chosen = std::getenv("FATHOM_MODEL"); chosen != nullptr && *chosen != '\0') return chosen;
  std::error_code error;
  const fs::path program = fs::read_symlink("/proc/self/exe", error);
  if (!error) {
    const fs::path installed = program.parent_path().parent_path() / "share/fathom/bundled.gguf";
    if (fs::is_regular_file(installed, error)) return installed.string();
  }
  const fs::path source = FATHOM_SOURCE_DIR "/models/bundled.gguf";
  return fs::is_regular_file(source, error) ? source.string() : "";
}

}  // namespace fathom
