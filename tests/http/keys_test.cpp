#include "http/keys.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/error.h"
#include "support/errors.h"
#include "support/files.h"

namespace fathom::http {
namespace {

TEST(Keys, AreFoundByDigestAndByText) {
  const KeySet keys(
      "# keys of the team\n\n"
      "alice: sk-alice-0123456789   # plain\r\n"
      "  bob\t:\tsha256:BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD   admin\n"
      "carol: 2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\n",
      "keys");
  EXPECT_EQ(keys.size(), 3u);
  EXPECT_EQ(keys.find("sk-alice-0123456789")->name, "alice");
  EXPECT_FALSE(keys.find("sk-alice-0123456789")->admin);
  EXPECT_EQ(keys.find("abc")->name, "bob");
  EXPECT_TRUE(keys.find("abc")->admin);
  EXPECT_EQ(keys.find("hello")->name, "carol");
  for (const char* wrong : {"", "sk-alice-012345678", "sk-alice-01234567890", "Hello", "hello ",
                            "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824"})
    EXPECT_EQ(keys.find(wrong), nullptr) << wrong;
  EXPECT_EQ(KeySet().find(""), nullptr);
}

TEST(Keys, OfAFileThatIsWrongAreRefusedWithoutBeingShown) {
  const std::string secret = "sk-secret-secret-secret";
  const std::vector<std::string> cases = {"",
                                          "# nothing\n",
                                          "alice " + secret,
                                          ": " + secret,
                                          "a b: " + secret,
                                          "alice:",
                                          "alice: " + secret + " root",
                                          "alice: " + secret + " admin admin",
                                          "alice: sk-short",
                                          "alice: secret-secret-secret",
                                          "alice: " + std::string(63, 'a'),
                                          "alice: " + std::string(63, 'a') + "g",
                                          "alice: " + secret + "\nalice: sk-other-other-other",
                                          "alice: " + secret + "\nbob: " + secret,
                                          std::string(65, 'n') + ": " + secret,
                                          std::string("al\xC3\xA9: ") + secret,
                                          "alice: sk-secret-secret\x01secret"};
  for (const std::string& bad : cases) {
    try {
      const KeySet keys(bad, "keys");
      ADD_FAILURE() << "taken: " << bad;
    } catch (const Error& e) {
      EXPECT_EQ(std::string(e.what()).find("secret"), std::string::npos) << e.what();
      EXPECT_TRUE(std::string(e.what()).starts_with("keys")) << e.what();
    }
  }
}

TEST(Keys, ComeFromAFileThatNotEverybodyReads) {
  const auto path = std::filesystem::temp_directory_path() / fmt::format("fathom-keys-{}", ::getpid());
  std::ofstream(path) << "alice: sk-alice-0123456789\n";
  std::filesystem::permissions(path, std::filesystem::perms(0644));
  EXPECT_THROW(KeySet{path}, Error);
  std::filesystem::permissions(path, std::filesystem::perms(0640));
  EXPECT_EQ(KeySet{path}.size(), 1u);
  std::filesystem::remove(path);
  EXPECT_THROW(KeySet{path}, Error);
}

TEST(Keys, AreSentInEitherHeader) {
  EXPECT_EQ(sent_key("Bearer abc", ""), "abc");
  EXPECT_EQ(sent_key("bearer   abc ", "other"), "abc");
  EXPECT_EQ(sent_key("", "abc"), "abc");
  EXPECT_EQ(sent_key("Basic abc", "def"), "def");
  EXPECT_EQ(sent_key("Bearer", ""), "");
  EXPECT_EQ(sent_key("Bearer ", ""), "");
}

}  // namespace
}  // namespace fathom::http
