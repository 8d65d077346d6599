#include <gtest/gtest.h>

#include "grammar/vocabularies.h"
#include "support/errors.h"

namespace fathom::test {
namespace {

auto regex(std::string_view text) { return Grammar::from_regex(text); }
std::string refused(std::string_view text) {
  return error_of([&] { Grammar::from_regex(text); }, ErrorKind::bad_input);
}

TEST(Regex, EveryConstruct) {
  expect_texts(regex("abc"), {"abc"}, {"", "ab", "xabc", "abcd"});
  expect_texts(regex("a|bc|"), {"a", "bc", ""}, {"b", "abc"});
  expect_texts(regex("(ab)*c+d?"), {"c", "ababccd"}, {"abab", "abd"});
  expect_texts(regex("a{2}b{1,}c{0,2}"), {"aab", "aabbcc"}, {"ab", "aabccc"});
  expect_texts(regex("(?:x|y)(?<name>z)(?P<other>w)"), {"xzw", "yzw"}, {"xz"});
  expect_texts(regex("a*?b+?c??"), {"b", "aabbc"}, {"a"});
  expect_texts(regex("[a-c0-2_-]"), {"a", "c", "1", "_", "-"}, {"d", "3", ""});
  expect_texts(regex("[^a-y]"), {"z", "\n", "\xE4\xB8\x80"}, {"a", "\x80"});
  expect_texts(regex("[\\d\\s.]"), {"5", " ", "."}, {"a"});
  expect_texts(regex("\\d\\D\\w\\W\\s\\S"), {"1a_- x", "0_a.\tb"}, {"aaaaaa"});
  expect_texts(regex("."), {"a", "\xC3\xA9"}, {"\n", "\r", ""});
  expect_texts(regex("\\.\\*\\[\\]\\(\\)\\{\\}\\|\\\\\\/\\^\\$\\-"), {".*[](){}|\\/^$-"}, {"a"});
  expect_texts(regex("\\x41\\u00e9\\u{1F600}\\x{42}\\t\\n\\r\\f\\v\\0"),
               {std::string("A\xC3\xA9\xF0\x9F\x98\x80"
                            "B\t\n\r\f\v\0",
                            14)},
               {"A"});
  expect_texts(regex("[\\b]"), {"\b"}, {"b"});
  expect_texts(regex("\\p{L}+\\P{L}\\pN"), {"a\xC3\xA9-1", "\xE4\xB8\x80.\xD9\xA1"}, {"a1", "-a1"});
  expect_texts(regex("^abc$"), {"abc"}, {"abcd"});
  expect_texts(regex("(^a|b)c($|d)"), {"ac", "bc", "acd"}, {"abc"});
  expect_texts(regex("x(^a|b)"), {"xb"}, {"xa"});
  expect_texts(regex("(a+)+$"), {"aaaa"}, {"", "aab"});
  expect_texts(regex("((a{50}){50})"), {std::string(2500, 'a')}, {std::string(2499, 'a')});
}

TEST(Regex, RefusalsSayWhatAndWhere) {
  EXPECT_TRUE(says(refused("(a)\\1"), {"position 3", "back-references"}));
  EXPECT_TRUE(says(refused("a(?=b)"), {"position 1", "look-around"}));
  EXPECT_TRUE(says(refused("(?<!b)a"), {"look-around"}));
  EXPECT_TRUE(says(refused("(?i)a"), {"flags"}));
  EXPECT_TRUE(says(refused("\\bword\\b"), {"word boundaries"}));
  EXPECT_TRUE(says(refused("\\Qa"), {"escape \\Q"}));
  EXPECT_TRUE(says(refused("(a"), {"position 0", "not closed"}));
  EXPECT_TRUE(says(refused("a)"), {"position 1", "without '('"}));
  EXPECT_TRUE(says(refused("[a"), {"class is not closed"}));
  EXPECT_TRUE(says(refused("[z-a]"), {"before it begins"}));
  EXPECT_TRUE(says(refused("[a-\\d]"), {"range needs a character"}));
  EXPECT_TRUE(says(refused("[[:alpha:]]"), {"POSIX"}));
  EXPECT_TRUE(says(refused("*a"), {"position 0", "nothing in front"}));
  EXPECT_TRUE(says(refused("a**"), {"nothing in front"}));
  EXPECT_TRUE(says(refused("a*+"), {"possessive"}));
  EXPECT_TRUE(says(refused("a{2,1}"), {"maximum below"}));
  EXPECT_TRUE(says(refused("a{1000000}"), {"up to 10000"}));
  EXPECT_TRUE(says(refused("((a{500}){500})"), {"more than 20000 states"}));
  EXPECT_TRUE(says(refused("a{"), {"'{' begins"}));
  EXPECT_TRUE(says(refused("\\p{Greek}"), {"Greek", "not supported"}));
  EXPECT_TRUE(says(refused("\\p{L"), {"not closed"}));
  EXPECT_TRUE(says(refused("\\x4"), {"hexadecimal"}));
  EXPECT_TRUE(says(refused("\\u{110000}"), {"no character"}));
  EXPECT_TRUE(says(refused("a\\"), {"at the end"}));
  EXPECT_TRUE(says(refused("a$b"), {"matches no text"}));
}

}  // namespace
}  // namespace fathom::test
