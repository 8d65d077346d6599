// Sources and texts made to take long or to grow large: refused, or done within limits on counted things. No clock is
// asked: what these would take without the limits is hours, or all memory.
#include <gtest/gtest.h>

#include "grammar/limits.h"
#include "grammar/vocabularies.h"
#include "support/errors.h"

namespace fathom::test {
namespace {

std::string refused_schema(const std::string& text) {
  return error_of([&] { Grammar::from_json_schema(text); }, ErrorKind::bad_input);
}
std::string repeated(const std::string& text, int n) {
  std::string out;
  for (int i = 0; i < n; ++i) out += text;
  return out;
}

TEST(HostileSchema, CountsAreBounded) {
  EXPECT_TRUE(says(refused_schema(R"({"minLength":1000000000})"), {"'minLength'", "10000"}));
  EXPECT_TRUE(says(refused_schema(R"({"items":{},"maxItems":1000000000})"), {"'maxItems'", "10000"}));
  EXPECT_TRUE(says(refused_schema(R"({"items":{},"minItems":-1})"), {"'minItems'", "-1"}));
  EXPECT_TRUE(says(refused_schema(R"({"maxLength":1e400})"), {"JSON schema"}));
  EXPECT_TRUE(says(refused_schema(R"({"maxLength":2.5})"), {"2.5"}));
  EXPECT_TRUE(says(refused_schema(R"({"pattern":"^([a-z]{1,100} ){1,100}$","maxLength":10000})"),
                   {"'pattern'", "20000 states"}));
  EXPECT_TRUE(says(refused_schema("{\"title\":\"" + std::string(2 << 20, 'x') + "\"}"), {"1048576"}));
  const auto longest =
      Grammar::from_json_schema(R"({"items":{"properties":{"a":{"type":"string"}}},"maxItems":10000})");
  EXPECT_LT(longest->n_states(), 20000u);
}

TEST(HostileSchema, DepthAndReferencesAreBounded) {
  EXPECT_TRUE(says(refused_schema(repeated("{\"anyOf\":[", 1000) + repeated("]}", 1000)), {"nested more than 64"}));
  std::string any = "{\"$ref\":\"#/$defs/a0\",\"$defs\":{", all = any;
  for (int i = 0; i < 30; ++i) {
    const std::string next = fmt::format("[{{\"$ref\":\"#/$defs/a{0}\"}},{{\"$ref\":\"#/$defs/a{0}\"}}]", i + 1);
    any += fmt::format("\"a{}\":{{\"anyOf\":{}}},", i, next);
    all += fmt::format("\"a{}\":{{\"allOf\":{}}},", i, next);
  }
  const auto doubled = Grammar::from_json_schema(any + "\"a30\":{\"type\":\"null\"}}}");  // 2^30 ways to one text
  expect_texts(doubled, {"null"}, {"nul", "true"});
  EXPECT_TRUE(says(refused_schema(all + "\"a30\":{\"type\":\"null\"}}}"), {"allOf"}));
  EXPECT_TRUE(says(refused_schema(R"({"allOf":[{"$ref":"#"},{"type":"null"}]})"), {"circle"}));
  const std::string grows = R"({"$defs":{"A":{"properties":{"c":{"allOf":[{"$ref":"#/$defs/A"},{"required":["c"]}]},
    "d":{"allOf":[{"$ref":"#/$defs/A"},{"minItems":0}]}}}},"$ref":"#/$defs/A"})";
  EXPECT_TRUE(says(refused_schema(grows), {"JSON schema"}));
}

TEST(HostileSchema, LongListsOfValues) {
  std::string list;
  for (int i = 0; i < 10000; ++i) list += fmt::format("{}\"value {}\"", i == 0 ? "" : ",", i * 7919 % 100003);
  const auto values = Grammar::from_json_schema("{\"enum\":[" + list + "]}");
  EXPECT_TRUE(accepts(values, "\"value 7919\""));
  EXPECT_FALSE(accepts(values, "\"value 100003\""));
  EXPECT_TRUE(says(refused_schema("{\"const\":[1" + repeated(",1", 200000) + "]}"), {"limit"}));
  EXPECT_TRUE(says(refused_schema("{\"prefixItems\":[1" + repeated(R"(,{"multipleOf":997})", 200) + "]}"),
                   {"must be an object"}));
  EXPECT_TRUE(says(refused_schema("{\"prefixItems\":[true" + repeated(R"(,{"multipleOf":997})", 200) + "]}"),
                   {"multipleOf", "limit"}));
}

TEST(HostileGbnf, SizesAreBounded) {
  const auto refused = [](const std::string& text) {
    return error_of([&] { Grammar::from_gbnf(text); }, ErrorKind::bad_input);
  };
  EXPECT_TRUE(says(refused("root ::= " + std::string(1 << 20, 'a')), {"1048576"}));
  EXPECT_TRUE(says(refused("root ::= " + std::string(1000000, '(')), {"nested more than 200"}));
  EXPECT_TRUE(says(refused("root ::= \"" + std::string(400000, 'a') + "\""), {"200000 states"}));
  EXPECT_TRUE(says(refused("root ::= [ab]" + repeated(" [ab]", 200000)), {"limit"}));
  std::string chain;
  for (int i = 0; i < 21000; ++i) chain += fmt::format("r{} ::= r{} | \"a\"\n", i, i + 1);
  EXPECT_TRUE(says(refused(chain), {"20000 rules"}));
  // Bounds multiply in what matches, not in what is built.
  const auto nested = Grammar::from_gbnf("root ::= " + std::string(150, '(') + "\"a\"" + repeated("){100}", 150));
  EXPECT_LT(nested->n_states(), 20000u);
  Matcher matcher(nested, byte_vocabulary());
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(matcher.accept('a'));
  EXPECT_EQ(matcher.allowed().count, 1);
}

// Every prefix of a text can be read in ever more ways; each step still ends, in time that a count bounds.
TEST(HostileGbnf, AmbiguityIsDoneOrGivenUp) {
  for (const std::string& text :
       {std::string("root ::= (\"a\"? \"a\"? \"a\"?){10000}"),
        std::string("root ::= \"a\" root | \"a\" root root | \"a\""),
        std::string("root ::= (\"a\" | \"a\" root \"a\")+"), "root ::= " + repeated("(\"a\" root)? ", 150) + "\"a\"",
        "root ::= " + std::string(150, '(') + "\"a\"?" + repeated("){100}", 150)}) {
    Matcher matcher(Grammar::from_gbnf(text), byte_vocabulary());
    for (int i = 0; i < 60 && !matcher.is_dead(); ++i) ASSERT_TRUE(matcher.accept('a')) << text << i;
    if (matcher.is_dead()) {
      EXPECT_TRUE(contains(matcher.why_dead(), "too ambiguous")) << text;
      EXPECT_EQ(matcher.allowed().count, 0);
    }
  }
}

TEST(HostileRegex, NoTextTakesLongerThanItsLength) {
  const auto evil = Grammar::from_regex("(a+)+$");
  EXPECT_FALSE(accepts(evil, std::string(3000, 'a') + "b"));
  Matcher matcher(Grammar::from_regex("(.*a){200}b"), byte_vocabulary());
  for (int i = 0; i < 300; ++i) ASSERT_TRUE(matcher.accept('a'));
  EXPECT_TRUE(matcher.allowed().allows('b'));
}

}  // namespace
}  // namespace fathom::test
