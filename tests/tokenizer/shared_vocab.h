// The vocabularies that may not be copied into the repository: looked for in the folder FATHOM_VOCAB_DIR.
#pragma once
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <string>

namespace fathom {

inline std::optional<std::filesystem::path> shared_vocab(const std::string& name) {
  const char* folder = std::getenv("FATHOM_VOCAB_DIR");
  if (folder == nullptr) return std::nullopt;
  const auto path = std::filesystem::path(folder) / name;
  return std::filesystem::exists(path) ? std::optional(path) : std::nullopt;
}

}  // namespace fathom
