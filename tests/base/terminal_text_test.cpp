#include "base/text/terminal_text.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

TEST(TerminalText, ControlCharactersAreShownAndTextStays) {
  EXPECT_EQ(for_terminal("a\tb\nc \xC3\xA9 \xE4\xBD\xA0 \xF0\x9F\xA6\x99"),
            "a\tb\nc \xC3\xA9 \xE4\xBD\xA0 \xF0\x9F\xA6\x99");
  EXPECT_EQ(for_terminal("\x1B[2J\x1B]52;c;QQ==\x07"), "^[[2J^[]52;c;QQ==^G");
  EXPECT_EQ(for_terminal(std::string_view("\0\r\b\x7F", 4)), "^@^M^H^?");
}

TEST(TerminalText, CommandsOfEightBitTerminalsAreShownToo) {
  EXPECT_EQ(for_terminal("\xC2\x9B"
                         "31m\xC2\x85"),
            "<9B>31m<85>");
  EXPECT_EQ(for_terminal("\x9B"
                         "31m"),
            "\xEF\xBF\xBD"
            "31m");
}

TEST(TerminalText, EveryCutOfATextGivesTheSame) {
  const std::string text =
      "a\x1B[31m \xC2\x9B \xF0\x9F\xA6\x99 \xE4\xBD\xA0\n\xE4\xBD "
      "b\xFF\xC3";
  for (size_t first = 0; first <= text.size(); ++first) {
    for (size_t second = first; second <= text.size(); ++second) {
      TerminalText shown;
      std::string out = shown.push(std::string_view(text).substr(0, first));
      out += shown.push(std::string_view(text).substr(first, second - first));
      out += shown.push(std::string_view(text).substr(second));
      out += shown.flush();
      EXPECT_EQ(out, for_terminal(text)) << first << " " << second;
    }
  }
}

TEST(TerminalText, ACharacterIsHeldOnlyUntilItIsWhole) {
  TerminalText shown;
  EXPECT_EQ(shown.push("\xE4\xBD"), "");
  EXPECT_EQ(shown.push("\xA0"), "\xE4\xBD\xA0");
  EXPECT_EQ(shown.push("x"), "x");
}

TEST(TerminalText, AFileGetsTheBytesAsTheyAre) {
  std::FILE* file = std::tmpfile();
  ASSERT_NE(file, nullptr);
  EXPECT_EQ(shown_on(fileno(file), "\x1B[2J"), "\x1B[2J");
  std::fclose(file);
}

}  // namespace
}  // namespace fathom
