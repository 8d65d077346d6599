#include "base/text/suggest.h"

#include <gtest/gtest.h>

#include <vector>

namespace fathom {
namespace {

TEST(Suggest, EditDistanceCountsInsertionsDeletionsChangesAndExchanges) {
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("abc", "abc"), 0u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
  EXPECT_EQ(edit_distance("zhs", "zsh"), 1u);
  EXPECT_EQ(edit_distance("ba", "abc"), 2u);
  EXPECT_EQ(edit_distance("abcd", "badc"), 2u);
}

TEST(Suggest, TheNearestWithinTwoEditsIsNamed) {
  const std::vector<std::string> known = {"beta1", "beta2", "grad_clip", "weight_decay"};
  EXPECT_EQ(did_you_mean("grad_clipp", known), " Did you mean grad_clip?");
  EXPECT_EQ(did_you_mean("wieght_decay", known), " Did you mean weight_decay?");
  EXPECT_EQ(did_you_mean("beta", known), " Did you mean beta1?");
  EXPECT_EQ(did_you_mean("momentum", known), "");
  EXPECT_EQ(did_you_mean(std::string(100000, 'x'), known), "");
  EXPECT_EQ(did_you_mean("x", {}), "");
}

TEST(Suggest, HalfOfAShortWordMustBeRight) {
  const std::vector<std::string> known = {"id", "top", "zsh", "type"};
  for (const char* word : {"", "x", "zz", "xd", "tzz", "tyxx", "fish"})
    EXPECT_EQ(did_you_mean(word, known), "") << word;
  EXPECT_EQ(did_you_mean("ids", known), " Did you mean id?");
  EXPECT_EQ(did_you_mean("tpo", known), " Did you mean top?");
  EXPECT_EQ(did_you_mean("zhs", known), " Did you mean zsh?");
  EXPECT_EQ(did_you_mean("typ", known), " Did you mean top?");  // the first of those one edit away
}

}  // namespace
}  // namespace fathom
