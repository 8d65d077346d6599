#include "hub/repository.h"

#include <gtest/gtest.h>

#include "base/error.h"
#include "support/errors.h"

namespace fathom::hub {
namespace {

TEST(Repository, IsReadAsPeopleWriteIt) {
  const RepositoryName plain = parse_repository("deepseek-ai/DeepSeek-V2.5");
  EXPECT_EQ(plain.id(), "deepseek-ai/DeepSeek-V2.5");
  EXPECT_EQ(plain.tag + plain.revision + plain.file, "");
  for (const char* text :
       {"a/b:Q4_K_M@v1.0", "a/b@v1.0:Q4_K_M", "hf.co/a/b:Q4_K_M@v1.0", "https://hf.co/a/b:Q4_K_M@v1.0"}) {
    const RepositoryName r = parse_repository(text);
    EXPECT_EQ(r.id(), "a/b") << text;
    EXPECT_EQ(r.tag, "Q4_K_M") << text;
    EXPECT_EQ(r.revision, "v1.0") << text;
  }
  EXPECT_EQ(parse_repository("a/b@refs/pr/3").revision, "refs/pr/3");
}

TEST(Repository, IsReadFromAddressesOfItsPages) {
  EXPECT_EQ(parse_repository("https://huggingface.co/a/b/").id(), "a/b");
  EXPECT_EQ(parse_repository("https://huggingface.co/a/b?library=x").id(), "a/b");
  EXPECT_EQ(parse_repository("https://huggingface.co/a/b/tree/dev").revision, "dev");
  const RepositoryName file = parse_repository("https://huggingface.co/a/b/resolve/main/sub/M-Q8_0.gguf?download=true");
  EXPECT_EQ(file.revision, "main");
  EXPECT_EQ(file.file, "sub/M-Q8_0.gguf");
}

TEST(Repository, RefusesWhatCouldLeadElsewhere) {
  for (const char* text : {"",
                           "x",
                           "/",
                           "a/",
                           "/b",
                           "../b",
                           "a/..",
                           "a/.b",
                           "-a/b",
                           "a/-b",
                           "a/b/c",
                           "a b/c",
                           "a/b\n",
                           "a\\b/c",
                           "a/b@",
                           "a/b:",
                           "a/b@..",
                           "a/b@x/../y",
                           "a/b@x@y",
                           "a/b:x:y",
                           "a/b:x/y",
                           "https://evil.example/a/b",
                           "ftp://a/b",
                           "https://huggingface.co/a/b/settings",
                           "https://huggingface.co/a/b/tree/../x",
                           "a/b@x\x1b[2J",
                           "\xff/b"})
    EXPECT_NE(test::error_of([&] { parse_repository(text); }), "") << text;
  EXPECT_TRUE(is_repository_name("a/b"));
  EXPECT_TRUE(is_repository_name("a/b:Q4_K_M"));
  for (const char* text : {"", "a", "a/b/c", "../b", "a/b@main", "a/b:", "./b", "a/b:x/y"})
    EXPECT_FALSE(is_repository_name(text)) << text;
}

TEST(FileNames, OfTheHubAreWrittenBelowTheFolderOrNotAtAll) {
  for (const char* name :
       {"config.json", "a b/c.gguf", "\xc3\xa4/\xe4\xb8\xad.gguf", "..a", "a..", "...", ".gitattributes"})
    EXPECT_EQ(unsafe_file_name(name), "") << name;
  for (const char* name :
       {"", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "a/../b", "a/./b", "a\\b", "a\nb", "a\x7f",
        "a\xc2\x9b"
        "2J",
        "a\xe2\x80\xae"
        "b",
        "a\xff"})
    EXPECT_NE(unsafe_file_name(name), "") << name;
  EXPECT_NE(unsafe_file_name(std::string_view("a\0b", 3)), "");
  EXPECT_NE(unsafe_file_name(std::string(256, 'a')), "");
  EXPECT_EQ(url_encoded("a b/\xc3\xa4?#%", true), "a%20b/%C3%A4%3F%23%25");
  EXPECT_EQ(url_encoded("refs/pr/1", false), "refs%2Fpr%2F1");
}

}  // namespace
}  // namespace fathom::hub
