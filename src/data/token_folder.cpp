#include "data/token_folder.h"

#include <optional>
#include <string>

#include "base/error.h"
#include "data/manifest.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

// A file in the folder that `fathom data build` does not leave in one.
std::optional<fs::path> foreign_file(const fs::path& folder) {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(folder, error)) {
    const std::string name = entry.path().filename().string();
    const bool ours =
        name.find(".tokens") != std::string::npos || name.starts_with("tokenizer") || name.starts_with(kManifestName);
    if (!ours) return entry.path();
  }
  return {};
}

bool is_token_data(const fs::path& folder) {
  std::error_code error;
  return fs::is_directory(folder, error) && (fs::exists(folder / kManifestName, error) || fs::is_empty(folder, error));
}

void refuse_foreign_file(const fs::path& folder) {
  if (const auto foreign = foreign_file(folder))
    throw_bad_input("{}: was not made by `fathom data build`, which would remove it; move it away", foreign->string());
}

}  // namespace

fs::path working_place(const fs::path& output) { return output.string() + ".partial"; }
fs::path old_place(const fs::path& output) { return output.string() + ".old"; }

void check_replaceable(const fs::path& output, bool force) {
  std::error_code error;
  if (fs::exists(old_place(output), error)) refuse_foreign_file(old_place(output));
  if (!fs::exists(output, error)) return;
  if (!is_token_data(output))
    throw_bad_input("{}: exists and is not a folder of token data; choose another place for -o", output.string());
  if (!force && !fs::is_empty(output, error))
    throw_bad_input("{}: holds token data already; choose another place for -o, or replace it with --force",
                    output.string());
  refuse_foreign_file(output);
}

WorkingFolder make_working_folder(const fs::path& output) {
  const fs::path folder = working_place(output);
  refuse_foreign_file(folder);
  return WorkingFolder(folder, WorkingFolder::Leftovers::removed);
}

void put_in_place(const fs::path& output) {
  const fs::path made = working_place(output), old = old_place(output);
  std::error_code error;
  const bool replaces = fs::exists(output, error);
  if (replaces) {
    fs::remove_all(old, error);
    fs::rename(output, old, error);
    if (error) throw_bad_input("{}: cannot be replaced: {}", output.string(), error.message());
  }
  fs::rename(made, output, error);
  if (error) throw_bad_input("{}: cannot be renamed to {}: {}", made.string(), output.string(), error.message());
  if (replaces) fs::remove_all(old, error);
}

}  // namespace fathom
