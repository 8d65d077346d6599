// One source of a build: documents go in, shards come out.
#pragma once
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "data/manifest.h"
#include "data/shard.h"

namespace fathom {

struct EncodedDocument {
  std::vector<int32_t> ids;
  uint64_t bytes = 0, hash = 0;  // of the text
};

// One side of it. The last documents stay in memory until finish(): they may still be replaced.
class SideWriter {
 public:
  // Shards PREFIX-00000.tokens, ... in the folder; one is closed when it has shard_tokens.
  SideWriter(std::filesystem::path folder, std::string prefix, uint64_t tokenizer_hash, uint64_t shard_tokens);

  void add(const EncodedDocument& document);
  uint64_t n_bytes() const noexcept { return n_bytes_; }  // of the text of all documents

  // The documents that are in no file yet, and the longest of them; there is none when nothing was added.
  const ShardBuilder& open_shard() const noexcept { return builder_; }
  std::optional<uint64_t> longest() const;
  // Puts others where a document of the open shard was.
  void replace(uint64_t document, const std::vector<EncodedDocument>& parts);

  ManifestSide finish();

 private:
  void close_shard();

  std::filesystem::path folder_;
  std::string prefix_;
  uint64_t tokenizer_hash_, shard_tokens_, n_bytes_ = 0;
  ShardBuilder builder_;
  ManifestSide side_;
};

struct SourceWriter {
  ManifestSource source;
  SideWriter train, held_out;
  bool is_closed = false;

  // Writes what is in memory, and enters both sides into `source`.
  void close();
};

}  // namespace fathom
