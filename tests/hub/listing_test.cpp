#include "hub/listing.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "support/errors.h"
#include "support/files.h"

namespace fathom::hub {
namespace {

const std::string kCommit(40, 'a'), kSha256(64, 'b');

std::string listing_with(const std::string& file) {
  return R"({"sha": ")" + kCommit + R"(", "siblings": [)" + file + "]}";
}

TEST(Listing, HasNamesSizesAndDigests) {
  const Listing l = parse_listing(
      listing_with(R"({"rfilename": "config.json", "size": 3, "blobId": ")" + kCommit +
                   R"("}, {"rfilename": "a/b.gguf", "size": 7, "blobId": ")" + kCommit + R"(", "lfs": {"sha256": ")" +
                   std::string(64, 'B') + R"(", "size": 70368744177664, "pointerSize": 130}, "xetHash": "x"})"),
      "hub");
  EXPECT_EQ(l.commit, kCommit);
  ASSERT_EQ(l.files.size(), 2u);
  EXPECT_EQ(l.files[0].size, 3u);
  EXPECT_EQ(l.files[0].digest, (Digest{DigestKind::git_blob, kCommit}));
  EXPECT_EQ(l.find("a/b.gguf")->size, uint64_t{1} << 46);
  EXPECT_EQ(l.find("a/b.gguf")->digest, (Digest{DigestKind::sha256, kSha256}));
  EXPECT_EQ(l.find("b.gguf"), nullptr);
}

TEST(Listing, RefusesWhatItCannotBe) {
  const std::string digest = R"(, "blobId": ")" + kCommit + "\"";
  for (const std::string& file :
       {R"({"rfilename": "../x", "size": 3)" + digest + "}", R"({"rfilename": "x", "size": -1)" + digest + "}",
        R"({"rfilename": "x", "size": 70368744177665)" + digest + "}",
        R"({"rfilename": "x", "size": 1.5)" + digest + "}", R"({"rfilename": "x")" + digest + "}",
        std::string(R"({"rfilename": "x", "size": 3})"),
        std::string(R"({"rfilename": "x", "size": 3, "blobId": "abc"})"),
        R"({"rfilename": "x", "size": 3, "lfs": {}})" + std::string(), std::string("3"), std::string("null")})
    EXPECT_NE(test::error_of([&] { parse_listing(listing_with(file), "hub"); }), "") << file;
  for (const char* text : {"", "[]", "{}", R"({"sha": "main", "siblings": []})", R"({"sha": 1, "siblings": []})"})
    EXPECT_NE(test::error_of([&] { parse_listing(text, "hub"); }), "") << text;
  const std::string one = R"({"rfilename": "x", "size": 3)" + digest + "}";
  EXPECT_NE(test::error_of([&] { parse_listing(listing_with(one + "," + one), "hub"); }).find("twice"),
            std::string::npos);
}

TEST(Digests, AreThoseOfGitAndSha256sum) {
  EXPECT_EQ(digest_of(DigestKind::git_blob, "hello\n").hex,
            "ce013625030ba8dba906f756967f9e9ca394464a");  // git hash-object
  EXPECT_EQ(digest_of(DigestKind::git_blob, "").hex, "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391");
  EXPECT_EQ(digest_of(DigestKind::sha256, "abc").hex,
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  const test::TempFolder folder;
  test::write_text(folder / "f", "hello\n");
  EXPECT_EQ(digest_of_file(DigestKind::git_blob, folder / "f"), digest_of(DigestKind::git_blob, "hello\n"));
  EXPECT_NE(test::error_of([&] { digest_of_file(DigestKind::sha256, folder / "none"); }), "");
}

}  // namespace
}  // namespace fathom::hub
