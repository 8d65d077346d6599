#include "data/shard.h"

#include <array>
#include <cstring>
#include <utility>

#include "base/error.h"
#include "base/xxh64.h"

namespace fathom {
namespace {

constexpr std::string_view kMagic = "FTHMTOK\n";
constexpr uint32_t kVersion = 1;

// The header as it stands in the file.
struct RawHeader {
  std::array<char, 8> magic;
  uint32_t version, zero;
  uint64_t n_documents, n_tokens, n_bytes, tokenizer_hash, content_checksum, header_checksum;
};
static_assert(sizeof(RawHeader) == kShardHeaderBytes);

uint64_t checksum_of(const RawHeader& raw) noexcept {
  return xxh64(std::as_bytes(std::span(&raw, 1)).first(offsetof(RawHeader, header_checksum)));
}

// The size that the counts ask for. Both are checked to be small enough first, so that nothing overflows.
uint64_t size_of_file(uint64_t n_documents, uint64_t n_tokens) noexcept {
  return kShardHeaderBytes + 8 * (3 * n_documents + 1) + (4 * n_tokens + 7) / 8 * 8;
}

RawHeader read_header(std::span<const std::byte> bytes, const std::string& where) {
  RawHeader raw{};
  if (bytes.size() < sizeof raw)
    throw_bad_input("{}: has {} bytes; a token file has at least {}. Build the data again", where, bytes.size(),
                    sizeof raw);
  std::memcpy(&raw, bytes.data(), sizeof raw);
  if (std::string_view(raw.magic.data(), raw.magic.size()) != kMagic)
    throw_bad_input("{}: is not a token file of `fathom data build` (it does not begin with FTHMTOK)", where);
  if (raw.version != kVersion)
    throw_unsupported("{}: is a token file of version {}; this fathom reads version {}. Build the data again", where,
                      raw.version, kVersion);
  if (raw.header_checksum != checksum_of(raw) || raw.zero != 0)
    throw_bad_input("{}: the header is damaged (its checksum differs); copy the file again or build the data again",
                    where);
  const uint64_t limit = bytes.size();
  if (raw.n_documents > limit / 24 || raw.n_tokens > limit / 4 ||
      size_of_file(raw.n_documents, raw.n_tokens) != bytes.size())
    throw_bad_input("{}: has {} bytes, but its header speaks of {} documents and {} tokens; was it cut off?", where,
                    bytes.size(), raw.n_documents, raw.n_tokens);
  return raw;
}

void check_index(const TokenShard& shard) {
  const std::string& where = shard.where();
  const auto begin = shard.token_begin();
  uint64_t bytes = 0;
  for (size_t i = 0; i + 1 < begin.size(); ++i) {
    if (begin[i] >= begin[i + 1])
      throw_bad_input("{}: document {} ends where it begins or before; the file is damaged, build the data again",
                      where, i);
    bytes += shard.byte_length()[i];
  }
  if (begin.front() != 0 || begin.back() != shard.header().n_tokens || bytes != shard.header().n_bytes)
    throw_bad_input("{}: the document index does not fit the header; the file is damaged, build the data again", where);
}

template <class T>
std::span<const T> take(std::span<const std::byte>& bytes, uint64_t n) noexcept {
  const std::span<const T> out(reinterpret_cast<const T*>(bytes.data()), n);
  bytes = bytes.subspan(n * sizeof(T));
  return out;
}

}  // namespace

TokenShard TokenShard::from_bytes(std::span<const std::byte> bytes, const std::string& where, bool verify_content) {
  const RawHeader raw = read_header(bytes, where);
  if (verify_content && xxh64(bytes.subspan(kShardHeaderBytes)) != raw.content_checksum)
    throw_bad_input(
        "{}: the content is damaged or was changed (its checksum differs); copy the file again or build the data again",
        where);
  TokenShard shard;
  shard.where_ = where;
  shard.header_ = {raw.n_documents, raw.n_tokens, raw.n_bytes, raw.tokenizer_hash, raw.content_checksum};
  std::span<const std::byte> rest = bytes.subspan(kShardHeaderBytes);
  shard.token_begin_ = take<uint64_t>(rest, raw.n_documents + 1);
  shard.byte_length_ = take<uint64_t>(rest, raw.n_documents);
  shard.document_hash_ = take<uint64_t>(rest, raw.n_documents);
  shard.ids_ = take<int32_t>(rest, raw.n_tokens);
  check_index(shard);
  return shard;
}

TokenShard TokenShard::open(const std::filesystem::path& path, bool verify_content) {
  auto file = std::make_shared<const MappedFile>(path);
  TokenShard shard = from_bytes(file->bytes(), path.string(), verify_content);
  shard.file_ = std::move(file);
  return shard;
}

void ShardBuilder::add(std::span<const int32_t> ids, uint64_t byte_length, uint64_t document_hash) {
  ids_.insert(ids_.end(), ids.begin(), ids.end());
  token_begin_.push_back(ids_.size());
  byte_length_.push_back(byte_length);
  document_hash_.push_back(document_hash);
}

ShardHeader ShardBuilder::write(const std::filesystem::path& path) {
  ShardHeader header{.n_documents = n_documents(), .n_tokens = n_tokens(), .tokenizer_hash = tokenizer_hash_};
  for (const uint64_t length : byte_length_) header.n_bytes += length;
  std::string content;
  content.reserve(size_of_file(header.n_documents, header.n_tokens) - kShardHeaderBytes);
  const auto append = [&](const auto& values) {
    content.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof values[0]);
  };
  append(token_begin_);
  append(byte_length_);
  append(document_hash_);
  append(ids_);
  content.resize((content.size() + 7) / 8 * 8, '\0');
  header.content_checksum = xxh64(content);

  RawHeader raw{};
  std::memcpy(raw.magic.data(), kMagic.data(), kMagic.size());
  raw.version = kVersion;
  raw.n_documents = header.n_documents;
  raw.n_tokens = header.n_tokens;
  raw.n_bytes = header.n_bytes;
  raw.tokenizer_hash = header.tokenizer_hash;
  raw.content_checksum = header.content_checksum;
  raw.header_checksum = checksum_of(raw);
  FileWriter out(path);
  out.write(std::as_bytes(std::span(&raw, 1)));
  out.write(content);
  out.commit();
  *this = ShardBuilder(tokenizer_hash_);
  return header;
}

}  // namespace fathom
