#include "data/dataset.h"

#include <algorithm>

#include "base/error.h"
#include "base/file/file.h"
#include "base/xxh64.h"

namespace fathom {
namespace {

std::string read_tokenizer_config(const std::filesystem::path& folder) {
  const auto path = folder / "tokenizer_config.json";
  std::error_code ignored;
  return std::filesystem::exists(path, ignored) ? read_file(path) : std::string();
}

TokenShard open_shard(const std::filesystem::path& folder, const Manifest& m, const ManifestShard& listed,
                      bool verify) {
  TokenShard shard = TokenShard::open(folder / listed.file, verify);
  const ShardHeader& h = shard.header();
  if (h.n_documents != listed.documents || h.n_tokens != listed.tokens || h.n_bytes != listed.bytes ||
      h.content_checksum != listed.checksum)
    throw_bad_input(
        "{}: is not the file that {} lists ({} tokens with checksum {}; found {} with {}); build the data again",
        shard.where(), kManifestName, listed.tokens, hash_text(listed.checksum), h.n_tokens,
        hash_text(h.content_checksum));
  if (h.tokenizer_hash != m.tokenizer_hash)
    throw_bad_input("{}: was made with another tokenizer than {} names; build the data again", shard.where(),
                    kManifestName);
  return shard;
}

TokenRun open_run(const std::filesystem::path& folder, const Manifest& m, const ManifestSide& side, bool verify) {
  std::vector<TokenShard> shards;
  for (const ManifestShard& listed : side.shards) shards.push_back(open_shard(folder, m, listed, verify));
  return TokenRun(std::move(shards));
}

// The part that holds position `at`, of parts that begin at starts[0 .. n-1].
size_t part_of(const std::vector<int64_t>& starts, int64_t at) {
  return static_cast<size_t>(std::upper_bound(starts.begin(), starts.end(), at) - starts.begin()) - 1;
}

}  // namespace

const char* split_name(Split split) noexcept { return split == Split::train ? "train" : "held_out"; }

TokenRun::TokenRun(std::vector<TokenShard> shards) : token_starts_{0}, document_starts_{0} {
  for (TokenShard& shard : shards) {
    if (shard.header().n_tokens == 0) continue;
    token_starts_.push_back(token_starts_.back() + static_cast<int64_t>(shard.header().n_tokens));
    document_starts_.push_back(document_starts_.back() + static_cast<int64_t>(shard.header().n_documents));
    n_bytes_ += static_cast<int64_t>(shard.header().n_bytes);
    shards_.push_back(std::move(shard));
  }
}

int64_t TokenRun::document_begin(int64_t i) const {
  if (i == n_documents()) return n_tokens();
  const size_t s = part_of(document_starts_, i);
  return token_starts_[s] +
         static_cast<int64_t>(shards_[s].token_begin()[static_cast<size_t>(i - document_starts_[s])]);
}

int64_t TokenRun::document_at(int64_t at) const {
  const size_t s = part_of(token_starts_, at);
  const auto begin = shards_[s].token_begin();
  const auto after = std::upper_bound(begin.begin(), begin.end(), static_cast<uint64_t>(at - token_starts_[s]));
  return document_starts_[s] + (after - begin.begin()) - 1;
}

uint64_t TokenRun::document_hash(int64_t i) const {
  const size_t s = part_of(document_starts_, i);
  return shards_[s].document_hash()[static_cast<size_t>(i - document_starts_[s])];
}

int64_t TokenRun::document_bytes(int64_t i) const {
  const size_t s = part_of(document_starts_, i);
  return static_cast<int64_t>(shards_[s].byte_length()[static_cast<size_t>(i - document_starts_[s])]);
}

void TokenRun::copy(int64_t at, int64_t count, int32_t n_ids, int32_t* out) const {
  check(at >= 0 && count >= 0 && at + count <= n_tokens(), "tokens of the run");
  while (count > 0) {
    const size_t s = part_of(token_starts_, at);
    const int64_t n = std::min(count, token_starts_[s + 1] - at);
    const auto ids = shards_[s].ids().subspan(static_cast<size_t>(at - token_starts_[s]), static_cast<size_t>(n));
    for (const int32_t id : ids) {
      if (id < 0 || id >= n_ids)
        throw_bad_input("{}: holds the token id {}; the tokenizer beside it has ids 0 to {}. Build the data again",
                        shards_[s].where(), id, n_ids - 1);
      *out++ = id;
    }
    at += n;
    count -= n;
  }
}

std::shared_ptr<const TokenDataset> TokenDataset::open(const std::filesystem::path& folder, VerifyContent verify) {
  std::error_code ignored;
  if (!std::filesystem::exists(folder, ignored))
    throw_bad_input("{}: there is no such folder; `fathom data build -o {}` makes one of texts", folder.string(),
                    folder.string());
  if (!std::filesystem::exists(folder / kManifestName, ignored))
    throw_bad_input("{}: is no folder of token data (it has no {}); `fathom data build` makes one of texts",
                    folder.string(), kManifestName);
  const std::string text = read_file(folder / kManifestName);
  Manifest manifest = read_manifest(text, (folder / kManifestName).string());
  const std::string tokenizer_json = read_file(folder / "tokenizer.json");
  if (xxh64(tokenizer_json) != manifest.tokenizer_hash)
    throw_bad_input(
        "{}: is not the tokenizer that the data was made with (its hash is {}, {} names {}); build the data again",
        (folder / "tokenizer.json").string(), hash_text(xxh64(tokenizer_json)), kManifestName,
        hash_text(manifest.tokenizer_hash));
  std::shared_ptr<TokenDataset> data(
      new TokenDataset(folder, Tokenizer::from_json(tokenizer_json, read_tokenizer_config(folder), folder.string())));
  data->manifest_hash_ = xxh64(text);
  for (const ManifestSource& source : manifest.sources)
    data->sources_.push_back({.name = source.name,
                              .weight = source.weight,
                              .train = open_run(folder, manifest, source.train, verify == VerifyContent::yes),
                              .held_out = open_run(folder, manifest, source.held_out, verify == VerifyContent::yes)});
  data->manifest_ = std::move(manifest);
  return data;
}

int64_t TokenDataset::n_tokens(Split split) const noexcept {
  int64_t sum = 0;
  for (const DataSource& s : sources_) sum += s.run(split).n_tokens();
  return sum;
}
int64_t TokenDataset::n_documents(Split split) const noexcept {
  int64_t sum = 0;
  for (const DataSource& s : sources_) sum += s.run(split).n_documents();
  return sum;
}
int64_t TokenDataset::n_bytes(Split split) const noexcept {
  int64_t sum = 0;
  for (const DataSource& s : sources_) sum += s.run(split).n_bytes();
  return sum;
}

}  // namespace fathom
