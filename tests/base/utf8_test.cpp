#include "base/text/utf8.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

TEST(Utf8, EveryCodePointSurvivesTheRoundTripAndNothingElseIsValid) {
  for (uint32_t c = 0; c <= 0x10FFFF; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string s;
    append_utf8(s, c);
    const Utf8Char got = decode_utf8(s, 0);
    ASSERT_TRUE(got.valid) << c;
    ASSERT_EQ(got.code_point, c);
    ASSERT_EQ(got.length, s.size());
    for (size_t cut = 1; cut < s.size(); ++cut) ASSERT_EQ(unfinished_utf8_tail(s.substr(0, cut)), cut) << c;
    ASSERT_EQ(unfinished_utf8_tail(s), 0u) << c;
  }
  for (const char* bad : {"\x80", "\xC0\x80", "\xC1\xBF", "\xE0\x80\x80", "\xED\xA0\x80", "\xF0\x80\x80\x80",
                          "\xF4\x90\x80\x80", "\xF5", "\xFF"})
    EXPECT_EQ(find_invalid_utf8(bad), 0u) << bad;
}

TEST(Utf8, ReplacesEachMaximalIllFormedPrefixOnce) {
  // Unicode 15, table 3-8: <61 F1 80 80 E1 80 C2 62 80 63 80 BF 64> has six replacement characters.
  const std::string got = replace_invalid_utf8(
      "a\xF1\x80\x80\xE1\x80\xC2"
      "b\x80"
      "c\x80\xBF"
      "d");
  const std::string r = "\xEF\xBF\xBD";
  EXPECT_EQ(got, "a" + r + r + r + "b" + r + "c" + r + r + "d");
}

}  // namespace
}  // namespace fathom
