#include <gtest/gtest.h>

#include "grammar/vocabularies.h"
#include "support/errors.h"

namespace fathom::test {
namespace {

auto gbnf(std::string_view text) { return Grammar::from_gbnf(text); }
std::string refused(std::string_view text) {
  return error_of([&] { Grammar::from_gbnf(text); }, ErrorKind::bad_input);
}

TEST(Gbnf, EveryConstruct) {
  expect_texts(gbnf("root ::= \"yes\" | \"no\""), {"yes", "no"}, {"", "y", "yesno", "maybe"});
  expect_texts(gbnf("root ::= [a-c]+ \"-\"? [^a-z]"), {"aZ", "abc-0", "c-\xC3\xA9"}, {"a", "-Z", "abz", "a-\xC3"});
  expect_texts(gbnf("root ::= (\"a\" | \"b\" \"c\")* \"d\""), {"d", "ad", "abcad"}, {"abd", "abc"});
  expect_texts(gbnf("root ::= \"a\"{2} \"b\"{1,} \"c\"{0,2}"), {"aab", "aabbbcc"}, {"ab", "aa", "aabccc"});
  expect_texts(gbnf("root ::= \"ab\"{2,3}"), {"abab", "ababab"}, {"ab", "abababab"});
  expect_texts(gbnf("root ::= ."), {"x", "\n", "\xE4\xB8\x80", "\xF0\x9F\x98\x80"},
               {"", "xy", "\x80", "\xED\xA0\x80", "\xC0\x80"});
  expect_texts(gbnf("root ::= \"\\x41\\u00e9\\U0001F600\\n\\t\\\"\\\\\\[\\]\""),
               {"A\xC3\xA9\xF0\x9F\x98\x80\n\t\"\\[]"}, {"A"});
  expect_texts(gbnf("root ::= [\\]\\-x\\\\^]"), {"]", "-", "x", "\\", "^"}, {"a"});
  expect_texts(gbnf("root ::= [a-]"), {"a", "-"}, {"b"});
  expect_texts(gbnf("# a comment\nroot ::= item # and more\n\nitem ::= \"a\" |\n  \"b\"\n"), {"a", "b"}, {"c"});
  expect_texts(gbnf("root ::= (\n \"a\"\n | \"b\"\n) \"c\"\r\n  | \"d\""), {"ac", "bc", "d"}, {"a"});
  expect_texts(gbnf("root ::= \"\" | \"a\""), {"", "a"}, {"b"});
  expect_texts(gbnf("root ::= empty \"x\"\nempty ::="), {"x"}, {""});
}

TEST(Gbnf, Recursion) {
  const auto balanced = gbnf("root ::= \"(\" root \")\" root | \"\"");
  expect_texts(balanced, {"", "()", "(())()", "((()())())"}, {"(", ")", "())"});
  const auto arithmetic = gbnf(
      "root ::= sum\nsum ::= product ([-+] product)*\nproduct ::= atom ([*/] atom)*\natom ::= [0-9]+ | \"(\" sum "
      "\")\"");
  expect_texts(arithmetic, {"1", "1+2*(3-4)", "((7))"}, {"1+", "(1", "1)", "+1"});
  // A list by recursion on the right takes no stack, however long.
  const auto list = gbnf("root ::= \"a\" root | \"b\"");
  EXPECT_TRUE(accepts(list, std::string(5000, 'a') + "b"));
  // Copies of one prefix: 2^n ways to read it, one stack.
  const auto ambiguous = gbnf("root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"\"");
  EXPECT_TRUE(accepts(ambiguous, std::string(200, 'a') + std::string(100, 'b') + std::string(100, 'c')));
  EXPECT_FALSE(accepts(ambiguous, std::string(200, 'a') + std::string(201, 'b')));
}

TEST(Gbnf, TextDeeperThanTheStackIsNotAllowed) {
  const auto nested = gbnf("root ::= \"(\" root \")\" | \"x\"");
  EXPECT_TRUE(accepts(nested, std::string(400, '(') + "x" + std::string(400, ')')));
  EXPECT_FALSE(accepts(nested, std::string(600, '(') + "x" + std::string(600, ')')));
}

TEST(Gbnf, RulesThatMatchTheEmptyText) {
  expect_texts(gbnf("root ::= a a b\na ::= \"x\"?\nb ::= \"y\" | a"), {"", "x", "xx", "xxx", "y", "xy", "xxy"},
               {"xxxx", "yx"});
  expect_texts(gbnf("root ::= (a*)* \"z\"\na ::= \"x\" | \"\""), {"z", "xxz"}, {"", "x"});
}

TEST(Gbnf, RefusalsSayWhere) {
  EXPECT_TRUE(says(refused("root ::= \"a\"\nroot ::= \"b\""), {"line 2, column 1", "'root'", "twice"}));
  EXPECT_TRUE(says(refused("root ::= \"a\" other"), {"line 1, column 14", "'other'", "not defined"}));
  EXPECT_TRUE(says(refused("start ::= \"a\""), {"no rule 'root'"}));
  EXPECT_TRUE(says(refused(""), {"no rule 'root'"}));
  EXPECT_TRUE(says(refused("root = \"a\""), {"line 1, column 6", "'::='"}));
  EXPECT_TRUE(says(refused("root ::= \"a"), {"line 1, column 10", "literal", "not closed"}));
  EXPECT_TRUE(says(refused("root ::= [a"), {"class", "not closed"}));
  EXPECT_TRUE(says(refused("root ::= [z-a]"), {"line 1, column 11", "before it begins"}));
  EXPECT_TRUE(says(refused("root ::= (\"a\""), {"line 1, column 10", "'(' is not closed"}));
  EXPECT_TRUE(says(refused("root ::= \"a\")"), {"')' without '('"}));
  EXPECT_TRUE(says(refused("root ::= *"), {"nothing in front"}));
  EXPECT_TRUE(says(refused("root ::= \"a\"{3,1}"), {"maximum below its minimum"}));
  EXPECT_TRUE(says(refused("root ::= \"a\"{1000000000}"), {"up to 10000"}));
  EXPECT_TRUE(says(refused("root ::= \"a\"{x}"), {"expected a number"}));
  EXPECT_TRUE(says(refused("root ::= \"\\q\""), {"unknown escape"}));
  EXPECT_TRUE(says(refused("root ::= \"\\ud800\""), {"names no character"}));
  EXPECT_TRUE(says(refused("root ::= <[1000]>"), {"references to tokens"}));
  EXPECT_TRUE(says(refused("root ::= \"\xFF\""), {"not UTF-8"}));
  EXPECT_TRUE(says(refused("root ::= []"), {"matches no text"}));
  EXPECT_TRUE(says(refused("root ::= \"a\" root"), {"matches no text"}));
}

TEST(Gbnf, LeftRecursionIsRefusedByName) {
  EXPECT_TRUE(says(refused("root ::= root \"a\" | \"b\""), {"left recursion", "'root' calls 'root'"}));
  EXPECT_TRUE(
      says(refused("root ::= x \"b\"\nx ::= y | \"c\"\ny ::= x \"d\""), {"left recursion", "'x' calls 'y' calls 'x'"}));
  EXPECT_TRUE(says(refused("root ::= (\"a\"? root \"b\") | \"c\""), {"left recursion", "'root'"}));
  EXPECT_TRUE(says(refused("root ::= e root \"b\" | \"c\"\ne ::= \"\""), {"left recursion"}));
}

}  // namespace
}  // namespace fathom::test
