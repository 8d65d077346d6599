#include "data/shard.h"

#include <cstring>

#include "base/xxh64.h"
#include "data/data_files.h"

namespace fathom {
namespace {

class Shard : public DataFiles {
 protected:
  // Three documents of 3, 1 and 5 tokens.
  std::filesystem::path make(const std::string& name = "a.tokens") const {
    ShardBuilder builder(77);
    builder.add(std::vector<int32_t>{5, 6, 7}, 30, 100);
    builder.add(std::vector<int32_t>{102399}, 10, 200);
    builder.add(std::vector<int32_t>{1, 2, 3, 4, 5}, 20, 300);
    builder.write(folder / name);
    return folder / name;
  }
  // The file's bytes, 8-byte aligned, read as a shard.
  static std::string error_of_bytes(const std::string& bytes, bool verify = true) {
    std::vector<uint64_t> aligned((bytes.size() + 7) / 8 + 1);
    std::memcpy(aligned.data(), bytes.data(), bytes.size());
    return error_of(
        [&] { TokenShard::from_bytes(std::as_bytes(std::span(aligned)).first(bytes.size()), "shard", verify); });
  }
  // With both checksums made to fit again, as a hostile file would have them.
  static std::string resealed(std::string bytes) {
    const uint64_t content = xxh64(std::string_view(bytes).substr(kShardHeaderBytes));
    std::memcpy(bytes.data() + 48, &content, 8);
    const uint64_t header = xxh64(std::string_view(bytes).substr(0, 56));
    std::memcpy(bytes.data() + 56, &header, 8);
    return bytes;
  }
};

TEST_F(Shard, ComesBackAsItWasWritten) {
  const TokenShard shard = TokenShard::open(make(), true);
  EXPECT_EQ(shard.header().n_documents, 3u);
  EXPECT_EQ(shard.header().n_tokens, 9u);
  EXPECT_EQ(shard.header().n_bytes, 60u);
  EXPECT_EQ(shard.header().tokenizer_hash, 77u);
  EXPECT_EQ(std::vector<int32_t>(shard.ids().begin(), shard.ids().end()),
            (std::vector<int32_t>{5, 6, 7, 102399, 1, 2, 3, 4, 5}));
  EXPECT_EQ(std::vector<uint64_t>(shard.token_begin().begin(), shard.token_begin().end()),
            (std::vector<uint64_t>{0, 3, 4, 9}));
  EXPECT_EQ(shard.byte_length()[2], 20u);
  EXPECT_EQ(shard.document_hash()[1], 200u);
}

TEST_F(Shard, EveryTruncationIsRefused) {
  const std::string whole = read(make());
  for (size_t n = 0; n < whole.size(); ++n) EXPECT_NE(error_of_bytes(whole.substr(0, n)), "") << n;
  EXPECT_NE(error_of_bytes(whole + std::string(8, '\0')), "");
  EXPECT_EQ(error_of_bytes(whole), "");
}

TEST_F(Shard, EveryChangedByteIsRefused) {
  const std::string whole = read(make());
  for (size_t i = 0; i < whole.size(); ++i)
    for (const int bit : {0, 7}) {
      std::string changed = whole;
      changed[i] = static_cast<char>(changed[i] ^ 1 << bit);
      EXPECT_NE(error_of_bytes(changed), "") << "byte " << i;
    }
}

TEST_F(Shard, AnIndexThatLiesIsRefusedEvenWhenTheChecksumsFit) {
  const std::string whole = read(make());
  for (const uint64_t value : {uint64_t{0}, uint64_t{4}, uint64_t{9}, uint64_t{10}, ~uint64_t{0}}) {
    std::string changed = whole;
    std::memcpy(changed.data() + 64 + 8, &value, 8);  // where document 1 begins; 3 is right
    EXPECT_TRUE(says(error_of_bytes(resealed(changed)), {"shard", "document"})) << value;
  }
  for (const size_t field : {size_t{16}, size_t{24}})  // counts that overflow when multiplied
    for (const uint64_t value : {~uint64_t{0}, uint64_t{1} << 61, uint64_t{1} << 62, uint64_t{1} << 63}) {
      std::string changed = whole;
      std::memcpy(changed.data() + field, &value, 8);
      EXPECT_TRUE(says(error_of_bytes(resealed(changed)), {"shard", "cut off"})) << value;
    }
}

TEST_F(Shard, OtherFilesAreNamedForWhatTheyAre) {
  EXPECT_TRUE(says(error_of([&] { TokenShard::open(folder / "none.tokens", true); }), {"none.tokens"}));
  EXPECT_TRUE(says(error_of([&] { TokenShard::open(write("t.tokens", std::string(100, 'x')), true); }),
                   {"t.tokens", "not a token file"}));
  std::string next = read(make());
  next[8] = 2;
  EXPECT_TRUE(says(error_of_bytes(resealed(next)), {"version 2", "version 1"}));
}

TEST_F(Shard, UnverifiedContentIsStillIndexedSafely) {
  std::string changed = read(make());
  changed.back() = static_cast<char>(changed.back() ^ 1);  // an id, or padding
  EXPECT_EQ(error_of_bytes(changed, false), "");
  EXPECT_NE(error_of_bytes(changed, true), "");
}

}  // namespace
}  // namespace fathom
