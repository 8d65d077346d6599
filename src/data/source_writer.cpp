#include "data/source_writer.h"

#include <fmt/format.h>

#include <utility>

namespace fathom {

SideWriter::SideWriter(std::filesystem::path folder, std::string prefix, uint64_t tokenizer_hash, uint64_t shard_tokens)
    : folder_(std::move(folder)),
      prefix_(std::move(prefix)),
      tokenizer_hash_(tokenizer_hash),
      shard_tokens_(shard_tokens),
      builder_(tokenizer_hash) {}

void SideWriter::add(const EncodedDocument& document) {
  if (builder_.n_tokens() >= shard_tokens_) close_shard();
  builder_.add(document.ids, document.bytes, document.hash);
  n_bytes_ += document.bytes;
}

std::optional<uint64_t> SideWriter::longest() const {
  std::optional<uint64_t> best;
  for (uint64_t i = 0; i < builder_.n_documents(); ++i)
    if (!best || builder_.byte_length(i) > builder_.byte_length(*best)) best = i;
  return best;
}

void SideWriter::replace(uint64_t document, const std::vector<EncodedDocument>& parts) {
  const ShardBuilder was = std::exchange(builder_, ShardBuilder(tokenizer_hash_));
  for (uint64_t i = 0; i < was.n_documents(); ++i) {
    if (i != document) {
      builder_.add(was.ids(i), was.byte_length(i), was.document_hash(i));
      continue;
    }
    for (const EncodedDocument& part : parts) builder_.add(part.ids, part.bytes, part.hash);
  }
}

ManifestSide SideWriter::finish() {
  if (builder_.n_documents() > 0) close_shard();
  return std::move(side_);
}

void SideWriter::close_shard() {
  const std::string name = fmt::format("{}-{:05}.tokens", prefix_, side_.shards.size());
  const ShardHeader h = builder_.write(folder_ / name);
  side_.shards.push_back({.file = name,
                          .documents = h.n_documents,
                          .tokens = h.n_tokens,
                          .bytes = h.n_bytes,
                          .file_size = std::filesystem::file_size(folder_ / name),
                          .checksum = h.content_checksum});
}

void SourceWriter::close() {
  if (std::exchange(is_closed, true)) return;
  source.train = train.finish();
  source.held_out = held_out.finish();
}

}  // namespace fathom
