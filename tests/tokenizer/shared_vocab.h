// The vocabularies that may not be copied into the repository: looked for in FATHOM_VOCAB_DIR, then in
// ../shared/data/vocab beside the source tree.
#pragma once
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

namespace fathom {

inline std::optional<std::filesystem::path> shared_vocab(const std::string& name) {
  const char* folder = std::getenv("FATHOM_VOCAB_DIR");
  const std::filesystem::path base =
      folder != nullptr ? folder : std::filesystem::path(FATHOM_GOLDEN_DIR) / "../../../shared/data/vocab";
  const auto path = base / name;
  return std::filesystem::exists(path) ? std::optional(path) : std::nullopt;
}

}  // namespace fathom
