#include "base/text/suggest.h"

#include <gtest/gtest.h>

#include <vector>

namespace fathom {
namespace {

TEST(Suggest, EditDistanceCountsInsertionsDeletionsAndChanges) {
  EXPECT_EQ(edit_distance("", "abc"), 3u);
  EXPECT_EQ(edit_distance("abc", "abc"), 0u);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3u);
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

}  // namespace
}  // namespace fathom
