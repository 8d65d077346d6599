// A folder of token files that `fathom data build` made: the manifest, and the documents of every source as ids.
//
//   DIR/manifest.json                sources, weights, counts, hashes, seed (docs/data.md lists every key)
//   DIR/tokenizer.json, tokenizer_config.json   the tokenizer that made the ids
//   DIR/000-train-00000.tokens ...   source number, split, shard number (shard.h)
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "data/manifest.h"
#include "data/shard.h"
#include "tokenizer/tokenizer.h"

namespace fathom {

enum class Split : uint8_t { train, held_out };
const char* split_name(Split split) noexcept;  // "train", "held_out"

// The documents of one source on one side, as one run of tokens: shards joined in order. Immutable; any thread may
// read.
class TokenRun {
 public:
  explicit TokenRun(std::vector<TokenShard> shards);

  int64_t n_tokens() const noexcept { return token_starts_.back(); }
  int64_t n_documents() const noexcept { return document_starts_.back(); }
  int64_t n_bytes() const noexcept { return n_bytes_; }

  // Where document i begins in the run; i = n_documents() gives n_tokens().
  int64_t document_begin(int64_t i) const;
  // The document that token `at` belongs to.
  int64_t document_at(int64_t at) const;
  uint64_t document_hash(int64_t i) const;
  int64_t document_bytes(int64_t i) const;  // of its text, as UTF-8
  // Copies `count` tokens from `at` on; at + count <= n_tokens(). bad_input, naming the shard, for an id outside
  // 0 .. n_ids - 1.
  void copy(int64_t at, int64_t count, int32_t n_ids, int32_t* out) const;

 private:
  std::vector<TokenShard> shards_;
  std::vector<int64_t> token_starts_, document_starts_;  // of each shard; one more than shards
  int64_t n_bytes_ = 0;
};

struct DataSource {
  std::string name;
  double weight = 1;  // how often its documents are seen in one epoch of the mixture
  TokenRun train, held_out;
  const TokenRun& run(Split split) const noexcept { return split == Split::train ? train : held_out; }
};

enum class VerifyContent : uint8_t { no, yes };

class TokenDataset {
 public:
  // Reads the manifest, maps the shards, and checks each against the manifest: size, counts, checksum (with
  // VerifyContent::no the checksum of the header only; yes reads every byte once, at memory speed). bad_input with the
  // file's name for anything missing, truncated, changed or foreign.
  static std::shared_ptr<const TokenDataset> open(const std::filesystem::path& folder,
                                                  VerifyContent verify = VerifyContent::yes);

  const std::filesystem::path& folder() const noexcept { return folder_; }
  const std::vector<DataSource>& sources() const noexcept { return sources_; }
  const Manifest& manifest() const noexcept { return manifest_; }
  const Tokenizer& tokenizer() const noexcept { return tokenizer_; }
  int32_t vocab_size() const noexcept { return tokenizer_.n_tokens(); }  // ids are below it
  int64_t n_tokens(Split split) const noexcept;
  int64_t n_documents(Split split) const noexcept;
  int64_t n_bytes(Split split) const noexcept;
  // XXH64 of manifest.json: two folders with the same hash hold the same tokens in the same order.
  uint64_t manifest_hash() const noexcept { return manifest_hash_; }

 private:
  TokenDataset(std::filesystem::path folder, Tokenizer tokenizer)
      : folder_(std::move(folder)), tokenizer_(std::move(tokenizer)) {}

  std::filesystem::path folder_;
  Tokenizer tokenizer_;
  std::vector<DataSource> sources_;
  Manifest manifest_;
  uint64_t manifest_hash_ = 0;
};

}  // namespace fathom
