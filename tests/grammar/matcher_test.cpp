#include "grammar/matcher.h"

#include <gtest/gtest.h>

#include "grammar/vocabularies.h"
#include "support/errors.h"

namespace fathom::test {
namespace {

TEST(TokenTrie, RefusesWhatIsNoVocabulary) {
  const std::vector<std::string> tokens = {"a", "b"};
  const std::vector<int32_t> beyond = {2}, none;
  EXPECT_TRUE(says(refusal([&] { TokenTrie(tokens, beyond); }), {"end token 2", "2 tokens"}));
  const std::vector<std::string> endless = {std::string(70000, 'x')};
  EXPECT_TRUE(says(refusal([&] { TokenTrie(endless, none); }), {"token 0", "70000"}));
}

TEST(Matcher, TokensOfOneTextAndTokensWithoutBytes) {
  const std::vector<std::string> tokens = {"a", "ab", "abc", "a", "", "<end>", "b", "<end2>", "abcd"};
  const std::vector<int32_t> ends = {5, 7};
  const auto vocabulary = std::make_shared<const TokenTrie>(tokens, ends);
  Matcher matcher(Grammar::from_gbnf("root ::= \"abc\" \"<end>\"?"), vocabulary);
  EXPECT_EQ(matcher.allowed().count, 4);
  for (const int32_t id : {0, 1, 2, 3}) EXPECT_TRUE(matcher.allowed().allows(id)) << id;
  for (const int32_t id : {4, 5, 6, 7, 8, -1, 9, 1 << 30}) {
    EXPECT_FALSE(matcher.allowed().allows(id)) << id;
    EXPECT_FALSE(matcher.accept(id)) << id;
  }
  Matcher copy = matcher;
  EXPECT_TRUE(matcher.accept(2));
  EXPECT_TRUE(matcher.can_end());
  EXPECT_EQ(matcher.allowed().count, 2);  // the ends; "<end>" as text has no token
  EXPECT_TRUE(copy.accept(1));
  EXPECT_FALSE(copy.can_end());
  EXPECT_FALSE(copy.is_dead() && copy.can_end());
  EXPECT_TRUE(matcher.accept(7));
  EXPECT_TRUE(matcher.ended());
  EXPECT_FALSE(matcher.is_dead());
  EXPECT_EQ(matcher.allowed().count, 0);
  EXPECT_FALSE(matcher.accept(5));
}

TEST(Matcher, AVocabularyWithoutTheBytesIsDeadAndSaysSo) {
  const std::vector<std::string> tokens = {"a", "b"};
  Matcher matcher(Grammar::from_gbnf("root ::= \"a\" \"c\""),
                  std::make_shared<const TokenTrie>(tokens, std::span<const int32_t>{}));
  EXPECT_FALSE(matcher.is_dead());
  EXPECT_TRUE(matcher.accept(0));
  EXPECT_TRUE(matcher.is_dead());
  EXPECT_TRUE(contains(matcher.why_dead(), "no token of the vocabulary"));
  EXPECT_FALSE(matcher.accept(1));
}

TEST(Matcher, ForcedBytesGoUpToTheFirstChoice) {
  const auto grammar = Grammar::from_json_schema(
      R"({"type":"object","properties":{"name":{"const":"x"},"n":{"type":"integer"}},"required":["name","n"]})");
  Matcher matcher(grammar, byte_vocabulary());
  EXPECT_EQ(matcher.forced(), "{\"name\":");
  for (const char c : std::string("{\"name\":\"")) ASSERT_TRUE(matcher.accept(c));
  EXPECT_EQ(matcher.forced(), "x\",");
  const auto characters = Grammar::from_gbnf("root ::= \"a\" (\"\xC3\xA9\" | \"\xC3\xA8\")");
  EXPECT_EQ(Matcher(characters, byte_vocabulary()).forced(), "a");  // not the half of a character
  EXPECT_EQ(Matcher(Grammar::from_regex("(abc)*"), byte_vocabulary()).forced(), "");
  const auto long_one = Grammar::from_regex("a{5000}");
  EXPECT_EQ(Matcher(long_one, byte_vocabulary()).forced(), std::string(1024, 'a'));
}

TEST(Matcher, ChoicesMayBeAnyBytes) {
  const std::vector<std::string> choices = {"yes", "yes, please", "no", std::string("\xFF\0", 2)};
  expect_texts(Grammar::from_choices(choices), choices, {"", "y", "yes, ", "\xFF"});
  EXPECT_TRUE(contains(refusal([] { Grammar::from_choices({}); }), "empty"));
}

TEST(Matcher, MasksAreSharedBetweenMatchersAndBounded) {
  const auto grammar = Grammar::from_gbnf("root ::= [a-z]* \"!\"");
  Matcher a(grammar, byte_vocabulary()), b(grammar, byte_vocabulary());
  ASSERT_TRUE(a.accept('x'));
  EXPECT_EQ(&a.allowed(), &b.allowed());  // the same position of the grammar
  grammar::MaskCache cache(1000);
  for (uint64_t i = 0; i < 100; ++i) cache.add({{i, 0}, 1}, {std::make_shared<const TokenMask>(64), false});
  EXPECT_EQ(cache.find({{0, 0}, 1}).mask, nullptr);
  EXPECT_NE(cache.find({{99, 0}, 1}).mask, nullptr);
  EXPECT_EQ(cache.find({{99, 0}, 2}).mask, nullptr);
}

}  // namespace
}  // namespace fathom::test
