#include "data/hold_out.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

#include "base/text/utf8.h"
#include "data/data_files.h"

namespace fathom {
namespace {

std::string lines_of(uint64_t seed, size_t bytes) {
  std::string text;
  for (uint64_t i = 0; text.size() < bytes; ++i) text += some_text(seed, i, 9) + "\n";
  return text;
}
size_t bytes_of(const std::vector<std::string_view>& parts) {
  size_t n = 0;
  for (const std::string_view part : parts) n += part.size();
  return n;
}

TEST(HoldOut, PartsMakeUpTheTextAndTheFractionIsHeldOut) {
  const std::string text = lines_of(1, 1'000'000);
  for (const double fraction : {0.001, 0.1, 0.5}) {
    const SplitText split = hold_out_pieces(text, fraction, 7);
    EXPECT_EQ(bytes_of(split.train) + bytes_of(split.held_out), text.size());
    EXPECT_GE(bytes_of(split.held_out), std::max(4096.0, fraction * 1e6));
    EXPECT_LE(static_cast<double>(bytes_of(split.held_out)), std::max(4096.0, fraction * 1e6) + 8192);
  }
}

TEST(HoldOut, TheSameSeedHoldsOutTheSameAndALargerFractionMore) {
  const std::string text = lines_of(2, 300'000);
  const auto set_of = [&](double fraction, uint64_t seed) {
    std::set<size_t> out;  // positions of bytes
    for (const std::string_view part : hold_out_pieces(text, fraction, seed).held_out)
      for (size_t i = 0; i < part.size(); ++i) out.insert(static_cast<size_t>(part.data() - text.data()) + i);
    return out;
  };
  const auto some = set_of(0.05, 1), more = set_of(0.2, 1);
  EXPECT_EQ(some, set_of(0.05, 1));
  EXPECT_NE(some, set_of(0.05, 2));
  EXPECT_TRUE(std::includes(more.begin(), more.end(), some.begin(), some.end()));
}

TEST(HoldOut, EqualPiecesFallOnTheSameSide) {
  const std::string page = std::string(1023, 'x') + "\n";
  std::string text;
  for (int i = 0; i < 50; ++i) text += page;
  EXPECT_TRUE(hold_out_pieces(text, 0.1, 1).held_out.empty());  // all of it would be
}

TEST(HoldOut, TextWithoutLineEndsIsCutBetweenCharacters) {
  std::string text;
  for (uint32_t i = 0; i < 10'000; ++i)
    text += i % 2 == 0 ? "\u6f22" : "\U0001f600", text += static_cast<char>('a' + i % 23);
  const SplitText split = hold_out_pieces(text, 0.1, 3);
  EXPECT_FALSE(split.held_out.empty());
  for (const auto& parts : {split.train, split.held_out})
    for (const std::string_view part : parts) EXPECT_EQ(find_invalid_utf8(part), std::string_view::npos);
}

TEST(HoldOut, ShortTextsStayWhole) {
  EXPECT_EQ(hold_out_pieces(lines_of(4, 1000), 0.5, 1).train.size(), 1u);
  EXPECT_TRUE(hold_out_pieces("", 0.5, 1).held_out.empty());
}

}  // namespace
}  // namespace fathom
