#include "base/json/json_number.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

TEST(JsonNumber, AWholeNumberIsOneHoweverItIsWritten) {
  const json::value v = parse_json("[128, 128.0, 1.28e2, -0, 128.5, 1e300, 9223372036854775808, \"128\", null]", "x");
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(json_integer(v.at(i)), 128) << i;
  EXPECT_EQ(json_integer(v.at(3)), 0);
  for (size_t i = 4; i < v.as_array().size(); ++i) EXPECT_FALSE(json_integer(v.at(i)).has_value()) << i;
}

TEST(JsonNumber, MessagesShowANumberAsItIs) {
  const json::value v = parse_json("[128.5, -7, 9223372036854775808, \"x\", [1]]", "x");
  EXPECT_EQ(json_found(v.at(0)), "128.5");
  EXPECT_EQ(json_found(v.at(1)), "-7");
  EXPECT_EQ(json_found(v.at(2)), "9223372036854775808");
  EXPECT_EQ(json_found(v.at(3)), "a string");
  EXPECT_EQ(json_found(v.at(4)), "an array");
}

}  // namespace
}  // namespace fathom
