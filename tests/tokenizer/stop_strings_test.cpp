#include "tokenizer/stop_strings.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace fathom {
namespace {

std::string run(const std::vector<std::string>& stops, const std::vector<std::string>& pieces,
                bool* stopped = nullptr) {
  StopStrings s(stops);
  std::string out;
  for (const std::string& piece : pieces) out += s.push(piece);
  if (!s.stopped()) out += s.flush();
  if (stopped != nullptr) *stopped = s.stopped();
  return out;
}

TEST(StopStrings, TellWhichOneCame) {
  StopStrings s({"later", "b", "bc"});
  s.push("a");
  EXPECT_EQ(s.found(), "");
  s.push("bc later");
  EXPECT_EQ(s.found(), "b");
}

TEST(StopStrings, EverySplitOfATextGivesTheTextBeforeTheFirstStop) {
  const std::string text = "one aab aaab\n\nUser: two";
  for (const auto& stops :
       std::vector<std::vector<std::string>>{{"aaab"}, {"\n\nUser:"}, {"x", "b a", "aab"}, {"User: two!"}, {"o"}}) {
    size_t first = text.size();
    for (const auto& stop : stops) first = std::min(first, text.find(stop));
    for (size_t i = 0; i <= text.size(); ++i)
      for (size_t j = i; j <= text.size(); ++j)
        ASSERT_EQ(run(stops, {text.substr(0, i), text.substr(i, j - i), text.substr(j)}), text.substr(0, first))
            << i << ' ' << j;
  }
}

TEST(StopStrings, AnUnfinishedStopIsGivenOutAtTheEnd) {
  bool stopped = true;
  EXPECT_EQ(run({"STOP"}, {"go S", "TO"}, &stopped), "go STO");
  EXPECT_FALSE(stopped);
}

TEST(StopStrings, NothingIsHeldBackWithoutReason) {
  StopStrings s({"\xE4\xB8\x80\xE4\xB8\x81"});  // two characters
  EXPECT_EQ(s.push("ab"), "ab");
  EXPECT_EQ(s.push("\xE4\xB8\x80"), "");
  EXPECT_EQ(s.push("c"),
            "\xE4\xB8\x80"
            "c");
}

TEST(StopStrings, AnEmptyStopIsRefused) { EXPECT_THROW(StopStrings({"a", ""}), Error); }

}  // namespace
}  // namespace fathom
