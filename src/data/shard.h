// One file of token ids with an index of its documents. Little-endian, everything 8-byte aligned:
//
//   offset  size
//        0     8  magic "FTHMTOK\n"
//        8     4  version, 1
//       12     4  0
//       16     8  n_documents
//       24     8  n_tokens
//       32     8  n_bytes: UTF-8 bytes of the documents' text, summed
//       40     8  tokenizer hash: XXH64 of tokenizer.json
//       48     8  checksum of the content: XXH64 of all that follows the header
//       56     8  checksum of the header: XXH64 of bytes 0 to 55
//       64        u64 token_begin[n_documents + 1]   each above the one before, first 0, last n_tokens
//                 u64 byte_length[n_documents]       of the text that each document was
//                 u64 document_hash[n_documents]     XXH64 of the text
//                 i32 ids[n_tokens]
//                 zeros up to a multiple of 8
//
// The size of the file is exactly what the counts say.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/file/file.h"

namespace fathom {

constexpr size_t kShardHeaderBytes = 64;

struct ShardHeader {
  uint64_t n_documents = 0, n_tokens = 0, n_bytes = 0, tokenizer_hash = 0, content_checksum = 0;
};

// A mapped shard. Any thread may read.
class TokenShard {
 public:
  // bad_input when the file is not a shard, is of another version, or is not of the size that its header says, and
  // when the document index does not ascend; with verify_content also when the content's checksum differs.
  static TokenShard open(const std::filesystem::path& path, bool verify_content);
  // The same on bytes in memory, which must stay and be 8-byte aligned. `where` names them in messages.
  static TokenShard from_bytes(std::span<const std::byte> bytes, const std::string& where, bool verify_content);

  const ShardHeader& header() const noexcept { return header_; }
  const std::string& where() const noexcept { return where_; }
  std::span<const uint64_t> token_begin() const noexcept { return token_begin_; }
  std::span<const uint64_t> byte_length() const noexcept { return byte_length_; }
  std::span<const uint64_t> document_hash() const noexcept { return document_hash_; }
  std::span<const int32_t> ids() const noexcept { return ids_; }

 private:
  TokenShard() = default;

  std::shared_ptr<const MappedFile> file_;
  std::string where_;
  ShardHeader header_;
  std::span<const uint64_t> token_begin_, byte_length_, document_hash_;
  std::span<const int32_t> ids_;
};

// Collects documents and writes them as a shard.
class ShardBuilder {
 public:
  explicit ShardBuilder(uint64_t tokenizer_hash) : tokenizer_hash_(tokenizer_hash) {}

  void add(std::span<const int32_t> ids, uint64_t byte_length, uint64_t document_hash);
  uint64_t n_tokens() const noexcept { return ids_.size(); }
  uint64_t n_documents() const noexcept { return byte_length_.size(); }
  // A document that was added since the last write().
  std::span<const int32_t> ids(uint64_t document) const noexcept {
    return std::span(ids_).subspan(token_begin_[document], token_begin_[document + 1] - token_begin_[document]);
  }
  uint64_t byte_length(uint64_t document) const noexcept { return byte_length_[document]; }
  uint64_t document_hash(uint64_t document) const noexcept { return document_hash_[document]; }
  // Atomic (FileWriter). Leaves the builder empty, for the next shard.
  ShardHeader write(const std::filesystem::path& path);

 private:
  uint64_t tokenizer_hash_;
  std::vector<uint64_t> token_begin_ = {0}, byte_length_, document_hash_;
  std::vector<int32_t> ids_;
};

}  // namespace fathom
