// manifest.json of a token-data folder, as plain data. Keys are listed in docs/data.md; hashes are XXH64 as 16
// hexadecimal digits. It holds no time and no machine, so the same input gives the same bytes.
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fathom {

constexpr const char* kManifestName = "manifest.json";

struct ManifestShard {
  std::string file;  // a name inside the folder
  uint64_t documents = 0, tokens = 0, bytes = 0, file_size = 0, checksum = 0;
};
struct ManifestSide {
  std::vector<ManifestShard> shards;
  uint64_t documents() const noexcept;
  uint64_t tokens() const noexcept;
  uint64_t bytes() const noexcept;
};
struct ManifestFile {
  std::string path;  // as it was given, or found below the folder that was given; "-" for what came through a pipe
  uint64_t size = 0, hash = 0;
};
struct ManifestSource {
  std::string name, path;
  double weight = 1;
  std::vector<ManifestFile> files;
  // Documents left out because an equal one came before, because they were empty, or because they were not UTF-8; and
  // documents kept in which ill-formed sequences became U+FFFD.
  uint64_t duplicates = 0, empty = 0, skipped_invalid = 0, repaired = 0;
  // Records in JSON that could not be read, files of a folder that are not text, and documents whose pieces were held
  // out because no whole document was.
  uint64_t bad_records = 0, not_text = 0, held_out_by_pieces = 0;
  ManifestSide train, held_out;
};
struct Manifest {
  uint64_t tokenizer_hash = 0;  // of tokenizer.json
  int32_t vocab_size = 0;
  uint64_t seed = 0;
  double held_out_fraction = 0;
  std::string document_separator, text_field, invalid_utf8;
  bool as_text = false;
  std::vector<ManifestSource> sources;
};

std::string write_manifest(const Manifest& manifest);
// bad_input with the key's place for what is missing or of another type; unknown keys and versions are refused.
Manifest read_manifest(std::string_view text, const std::string& where);

}  // namespace fathom
