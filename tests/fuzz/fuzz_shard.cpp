// Token shards and manifests: any bytes are read or refused with an Error. What was read is then used: every document,
// every token. The first byte chooses; checksums are made to fit, so that what lies behind them is reached.
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#include "base/error.h"
#include "base/xxh64.h"
#include "data/dataset.h"

namespace {

void use(const fathom::TokenRun& run) {
  std::vector<int32_t> ids(static_cast<size_t>(run.n_tokens()));
  run.copy(0, run.n_tokens(), INT32_MAX, ids.data());
  for (int64_t d = 0; d < run.n_documents(); ++d)
    fathom::check(run.document_at(run.document_begin(d)) == d, "a document is found where it begins");
}

void read_shard(std::vector<uint64_t>& words, size_t size, bool seal) {
  auto* bytes = reinterpret_cast<char*>(words.data());
  if (seal && size >= fathom::kShardHeaderBytes) {
    const uint64_t content = fathom::xxh64(std::string_view(bytes, size).substr(fathom::kShardHeaderBytes));
    std::memcpy(bytes + 48, &content, sizeof content);
    const uint64_t header = fathom::xxh64(std::string_view(bytes, 56));
    std::memcpy(bytes + 56, &header, sizeof header);
  }
  std::vector<fathom::TokenShard> shards;
  shards.push_back(fathom::TokenShard::from_bytes(std::as_bytes(std::span(bytes, size)), "fuzz.tokens", true));
  use(fathom::TokenRun(std::move(shards)));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const uint8_t choice = *data++;
  --size;
  try {
    if (choice == 'm') {
      const std::string_view text(reinterpret_cast<const char*>(data), size);
      fathom::write_manifest(fathom::read_manifest(text, "fuzz.json"));
    } else {
      std::vector<uint64_t> words(size / 8 + 1);
      std::memcpy(words.data(), data, size);
      read_shard(words, size, choice == 's');
    }
  } catch (const fathom::Error&) {
  }
  return 0;
}
