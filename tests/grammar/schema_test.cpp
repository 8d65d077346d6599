#include <gtest/gtest.h>

#include "grammar/vocabularies.h"
#include "support/errors.h"

namespace fathom::test {
namespace {

auto schema(std::string_view text) { return Grammar::from_json_schema(text); }
std::string refused(std::string_view text) {
  return error_of([&] { Grammar::from_json_schema(text); }, ErrorKind::bad_input);
}

TEST(Schema, Types) {
  expect_texts(schema(R"({"type":"null"})"), {"null"}, {"nul", "true", ""});
  expect_texts(schema(R"({"type":"boolean"})"), {"true", "false"}, {"null", "True"});
  expect_texts(schema(R"({"type":"integer"})"), {"0", "-1", "120", "999999999999999999"},
               {"-0", "01", "1.0", "+1", "", "1000000000000000000"});
  expect_texts(schema(R"({"type":"number"})"), {"0", "-0.5", "1e9", "1.25E-7", "12"},
               {".5", "1.", "1e", "1e100", "NaN", "01"});
  expect_texts(schema(R"({"type":["string","null"]})"), {"null", "\"a\""}, {"1", "a"});
  expect_texts(schema(R"({"type":"array"})"), {"[]", "[1,\"a\", null,[{}]]"},
               {"[1,]", "[,1]", "[1 ,2]", "[ 1]", "[1,  2]"});
  expect_texts(schema(R"({"type":"object"})"), {"{}", R"({"a":1})", R"({"a": [1], "b":{"c": null}})"},
               {"{\"a\"}", "{a:1}", "{\"a\":1,}", "[]"});
  expect_texts(schema("{}"), {"1", "\"a\"", "[{}]", "{\"a\":[true]}"}, {"", " 1", "1 "});
  expect_texts(schema("true"), {"null"}, {""});
}

TEST(Schema, Strings) {
  expect_texts(schema(R"({"type":"string"})"),
               {R"("")", R"("a\n\"\\\/\u00e9\uD83D\uDE00")", "\"\xC3\xA9\xF0\x9F\x98\x80\x7F\"", R"("\ud7ff\uE000")"},
               {"\"\n\"", "\"\\x\"", R"("\uD83D")", R"("\uDE00")", R"("\uD83Da")", "\"\x80\"", "\"a", R"("\u12")"});
  expect_texts(schema(R"({"minLength":2,"maxLength":3})"),
               {R"("ab")", "\"\xF0\x9F\x98\x80\xC3\xA9\"", R"("\n\uD83D\uDE00\"")"}, {R"("a")", R"("abcd")", "1"});
  expect_texts(schema(R"({"minLength":1})"), {R"("a")", R"("abcdef")"}, {R"("")"});
  expect_texts(schema(R"({"maxLength":0})"), {R"("")"}, {R"("a")"});
  expect_texts(schema(R"({"pattern":"^[a-c]+$"})"), {R"("abc")"}, {R"("")", R"("abd")", R"("ab ")"});
  expect_texts(schema(R"({"pattern":"b"})"),
               {R"("b")", R"("abc")",
                "\"\xC3\xA9\xF0\x9F\x98\x80"
                "b\""},
               {R"("")", R"("ac")"});
  expect_texts(schema(R"({"pattern":"^a|b$"})"), {R"("axx")", R"("xxb")"}, {R"("xax")"});
  expect_texts(schema(R"({"pattern":"^.\\n[^a]$"})"), {R"("x\n\"")", R"("\\\n\\")", R"("x\n\u0000")"},
               {R"("x\nA)", R"("\n\nb")", R"("x\na")"});
  expect_texts(schema(R"({"pattern":"^a*$","minLength":2,"maxLength":3})"), {R"("aa")", R"("aaa")"},
               {R"("a")", R"("aaaa")"});
  expect_texts(schema(R"({"pattern":"a","maxLength":2})"), {R"("a")", R"("ba")", R"("ab")"}, {R"("bba")", R"("b")"});
}

TEST(Schema, Formats) {
  expect_texts(schema(R"({"format":"date"})"), {R"("2024-02-29")", R"("1999-12-31")"},
               {R"("2023-02-29")", R"("2024-13-01")", R"("2024-04-31")"});
  expect_texts(schema(R"({"format":"date-time"})"), {R"("2024-01-01T23:59:59Z")", R"("2024-01-01T00:00:00.123+02:00")"},
               {R"("2024-01-01")", R"("2024-01-01T24:00:00Z")"});
  expect_texts(schema(R"({"format":"time"})"), {R"("12:30:00Z")"}, {R"("12:30")"});
  expect_texts(schema(R"({"format":"uuid"})"), {R"("123e4567-e89b-12d3-a456-426614174000")"}, {R"("123e4567")"});
  expect_texts(schema(R"({"format":"email"})"), {R"("a.b+c@example.com")"}, {R"("a@b")", R"("@example.com")"});
  expect_texts(schema(R"({"format":"hostname"})"), {R"("a-b.example.com")"}, {R"("-a.com")", R"("a..b")"});
  expect_texts(schema(R"({"format":"ipv4"})"), {R"("127.0.0.1")"}, {R"("256.0.0.1")", R"("1.2.3")"});
  expect_texts(schema(R"({"format":"ipv6"})"), {R"("2001:db8:0:0:0:0:0:1")", R"("::1")", R"("fe80::1:2")"},
               {R"("1:2:3")"});
  expect_texts(schema(R"({"format":"duration"})"), {R"("P1Y2M3DT4H")", R"("PT5M")", R"("P2W")"},
               {R"("P")", R"("P1DT")"});
  expect_texts(schema(R"({"format":"uri"})"), {R"("https://example.com/a?b=c#d")"}, {R"("ftp://x")", R"("example")"});
  EXPECT_TRUE(
      says(refused(R"({"properties":{"a":{"format":"iri"}}})"), {"#/properties/a", "format 'iri'", "date-time"}));
}

TEST(Schema, NumbersBetweenBounds) {
  for (int low = -13; low <= 12; ++low) {
    for (const int high : {low, low + 1, low + 9, low + 25}) {
      const auto grammar = schema(fmt::format(R"({{"type":"integer","minimum":{},"maximum":{}}})", low, high));
      for (int n = low - 12; n <= high + 12; ++n)
        EXPECT_EQ(accepts(grammar, std::to_string(n)), low <= n && n <= high) << low << " " << n << " " << high;
      EXPECT_FALSE(accepts(grammar, "-0"));
    }
  }
  expect_texts(schema(R"({"type":"integer","exclusiveMinimum":9,"exclusiveMaximum":111})"), {"10", "99", "110"},
               {"9", "111", "1", "010"});
  expect_texts(schema(R"({"type":"integer","minimum":0.5,"maximum":2.5})"), {"1", "2"}, {"0", "3"});
  expect_texts(schema(R"({"type":"integer","minimum":-2.5,"maximum":-0.5})"), {"-2", "-1"}, {"0", "-3", "-0"});
  expect_texts(schema(R"({"type":"integer","minimum":0})"), {"0", "7", "999999999999999999"}, {"-1"});
  expect_texts(schema(R"({"type":"integer","maximum":-1})"), {"-1", "-77"}, {"0", "1"});
  expect_texts(schema(R"({"minimum":0,"maximum":1})"), {"0", "1", "0.5", "1.0", "0.000", "0.99999999999999"},
               {"-0", "1.01", "2", "-0.1", "0.123456789012345", "1e0"});
  expect_texts(schema(R"({"exclusiveMinimum":0,"exclusiveMaximum":0.25})"), {"0.1", "0.2499", "0.01"},
               {"0", "0.0", "0.25", "0.250", "0.3"});
  expect_texts(schema(R"({"type":"number","minimum":-1.5,"maximum":12.75})"),
               {"-1.5", "-1.50", "12.75", "-0.3", "9", "12.7"}, {"-1.51", "12.751", "13", "-2", "-0.0"});
  expect_texts(schema(R"({"type":"number","maximum":-0.001})"), {"-0.001", "-5.5"}, {"-0.0005", "0"});
  expect_texts(schema(R"({"type":"integer","minimum":9223372036854775807})"), {"9223372036854775807"},
               {"9223372036854775806"});
  expect_texts(schema(R"({"type":"number","minimum":1e3})"), {"1000", "1000.5"}, {"999.9"});
  expect_texts(schema(R"({"type":"integer","minimum":5,"exclusiveMinimum":5})"), {"6"}, {"5"});
}

TEST(Schema, MultiplesOfWholeNumbers) {
  const auto sevens = schema(R"({"type":"integer","multipleOf":7,"minimum":-50,"maximum":300})");
  for (int n = -60; n < 310; ++n)
    EXPECT_EQ(accepts(sevens, std::to_string(n)), n % 7 == 0 && -50 <= n && n <= 300) << n;
  expect_texts(schema(R"({"type":"number","multipleOf":5})"), {"0", "-15", "100"}, {"1", "2.5"});
  EXPECT_TRUE(says(refused(R"({"type":"number","multipleOf":0.01})"), {"multipleOf", "0.01"}));
  EXPECT_TRUE(says(refused(R"({"type":"integer","multipleOf":0})"), {"multipleOf"}));
}

TEST(Schema, Constants) {
  expect_texts(schema(R"({"enum":["a","a\"b",1,1.5,null,true,[1,"x"],{"k":{"l":2},"m":[]}]})"),
               {R"("a")", R"("a\"b")", "1", "1.5", "null", "true", R"([1, "x"])", R"({"k":{"l": 2}, "m":[]})"},
               {"2", R"("b")", "[1]", "false"});
  expect_texts(schema(R"({"const":"\u00e9\n"})"), {"\"\xC3\xA9\\n\""}, {"\"\\u00e9\\n\""});
  expect_texts(schema(R"({"type":"string","enum":["a",1,null]})"), {R"("a")"}, {"1", "null"});
  expect_texts(schema(R"({"type":["integer","null"],"enum":["a",1,null]})"), {"1", "null"}, {R"("a")"});
  EXPECT_TRUE(says(refused(R"({"enum":["a"],"minLength":1})"), {"'minLength'", "'enum'"}));
  EXPECT_TRUE(says(refused(R"({"enum":[]})"), {"no text"}));
  EXPECT_TRUE(says(refused(R"({"type":"integer","const":"a"})"), {"no text"}));
}

TEST(Schema, Objects) {
  const auto strict = schema(
      R"({"type":"object","properties":{"a":{"type":"integer"},"b":{"type":"string"},"c":{"type":"null"}},"required":["b"],"additionalProperties":false})");
  expect_texts(strict, {R"({"b":"x"})", R"({"a": 1, "b":"x"})", R"({"a":1,"b":"x","c":null})", R"({"b":"","c":null})"},
               {"{}", R"({"a":1})", R"({"b":"x","a":1})", R"({"b":"x","d":1})", R"({,"b":"x"})", R"({"b":"x",})",
                R"({"a":1 ,"b":"x"})"});
  const auto optional = schema(R"({"properties":{"a":{},"b":{}}})");
  expect_texts(optional, {"{}", R"({"a":1})", R"({"b":[]})", R"({"a":1,"b":2})"}, {R"({"b":1,"a":2})", R"({"c":1})"});
  const auto open = schema(
      R"({"properties":{"name":{"type":"string"},"na":{"type":"null"}},"additionalProperties":{"type":"integer"}})");
  expect_texts(open,
               {"{}", R"({"name":"x"})", R"({"name":"x","other":1,"z": 2})", R"({"nam":1})",
                R"({"names":1,"n":2,"":3})", R"({"na":null,"\"":1})"},
               {R"({"name":1})", R"({"x":1,"name":2})", R"({"other":"x"})", R"({"na\u006de":1})", R"({"na":1})"});
  expect_texts(schema(R"({"additionalProperties":{"type":"boolean"}})"), {"{}", R"({"a":true,"b": false})"},
               {R"({"a":1})"});
  expect_texts(schema(R"({"properties":{"a":{"type":"null"}},"additionalProperties":true})"),
               {R"({"a":null,"b":[1]})", R"({"b":2})"}, {R"({"a":2})"});
  expect_texts(schema(R"({"type":"object","additionalProperties":false})"), {"{}"}, {R"({"a":1})"});
  expect_texts(schema(R"({"properties":{"a":{}},"required":["z","a"]})"), {R"({"a":1,"z":2})"},
               {R"({"a":1})", R"({"z":1})"});
  expect_texts(schema(R"({"properties":{"a/b~c":false,"d":{"type":"null"}}})"), {"{}", R"({"d":null})"},
               {R"({"a/b~c":1})"});
  expect_texts(schema(R"({"properties":{"a":{"type":"null"}},"required":["a"],"minProperties":1,"maxProperties":1})"),
               {R"({"a":null})"}, {"{}"});
  EXPECT_TRUE(says(refused(R"({"properties":{"a":false},"required":["a"]})"), {"no text"}));
  EXPECT_TRUE(
      says(refused(R"({"properties":{},"required":["q"],"additionalProperties":false})"), {"'q'", "no object"}));
  EXPECT_TRUE(says(refused(R"({"properties":{"a":{}},"minProperties":1})"), {"minProperties"}));
  EXPECT_TRUE(says(refused(R"({"properties":{"a":{}, "b":{}},"maxProperties":1})"), {"maxProperties"}));
}

TEST(Schema, Arrays) {
  expect_texts(schema(R"({"items":{"type":"integer"}})"), {"[]", "[1]", "[1, 2,3]"}, {"[\"a\"]", "1"});
  expect_texts(schema(R"({"items":{"type":"integer"},"minItems":2,"maxItems":3})"), {"[1,2]", "[1,2,3]"},
               {"[]", "[1]", "[1,2,3,4]"});
  expect_texts(schema(R"({"items":{"type":"integer"},"minItems":1})"), {"[1]", "[1,2,3,4]"}, {"[]"});
  expect_texts(schema(R"({"items":{"type":"integer"},"maxItems":0})"), {"[]"}, {"[1]"});
  expect_texts(schema(R"({"items":{"type":"integer"},"maxItems":1})"), {"[]", "[1]"}, {"[1,2]"});
  expect_texts(schema(R"({"items":false})"), {"[]"}, {"[1]"});
  const char* tuple = R"({{"prefixItems":[{{"type":"integer"}},{{"type":"null"}}]{}}})";
  auto with = [&](const char* more) { return schema(fmt::format(fmt::runtime(tuple), more)); };
  expect_texts(with(""), {"[]", "[1]", "[1,null]"}, {"[null]", "[1,null,2]"});
  expect_texts(with(R"(,"items":false,"minItems":2)"), {"[1,null]"}, {"[]", "[1]", "[1,null,2]"});
  expect_texts(with(R"(,"items":{"type":"boolean"})"), {"[]", "[1,null,true, false]"}, {"[1,true]", "[1,null,2]"});
  expect_texts(with(R"(,"minItems":3)"), {"[1,null,2]", "[1,null,{},\"a\"]"}, {"[1,null]"});
  expect_texts(with(R"(,"items":{"type":"boolean"},"minItems":3,"maxItems":4)"),
               {"[1,null,true]", "[1,null,true,true]"}, {"[1,null]", "[1,null,true,true,true]"});
  expect_texts(with(R"(,"maxItems":1)"), {"[]", "[1]"}, {"[1,null]"});
  EXPECT_TRUE(says(refused(R"({"items":{},"uniqueItems":true})"), {"uniqueItems"}));
  EXPECT_TRUE(says(refused(R"({"items":[{}]})"), {"prefixItems"}));
  EXPECT_TRUE(says(refused(R"({"items":{},"minItems":2,"maxItems":1})"), {"minItems", "maxItems"}));
}

TEST(Schema, ReferencesAndRecursion) {
  const auto tree = schema(
      R"({"$defs":{"node":{"type":"object","properties":{"v":{"type":"integer"},"next":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]}},"required":["v","next"],"additionalProperties":false}},"$ref":"#/$defs/node"})");
  expect_texts(tree, {R"({"v":1,"next":null})", R"({"v":1,"next":{"v":2,"next":{"v":3,"next":null}}})"},
               {R"({"v":1,"next":{}})", R"({"v":1})"});
  expect_texts(schema(R"({"type":"array","items":{"$ref":"#"}})"), {"[]", "[[],[[]]]"}, {"[1]"});
  expect_texts(
      schema(
          R"({"definitions":{"a~/b c":{"type":"null"}},"items":{"$ref":"#/definitions/a~0~1b%20c","description":"x"}})"),
      {"[null]"}, {"[1]"});
  expect_texts(schema(R"({"$defs":{"s":{"type":"string"}},"$ref":"#/$defs/s","maxLength":1})"), {R"("a")"},
               {R"("ab")"});
  EXPECT_TRUE(says(refused(R"({"$ref":"https://example.com/schema.json"})"), {"'#'", "$ref", "https://example.com"}));
  EXPECT_TRUE(says(refused(R"({"$ref":"#/$defs/gone"})"), {"names nothing"}));
  EXPECT_TRUE(says(refused(R"({"$ref":"#"})"), {"matches no text"}));
  EXPECT_TRUE(says(refused(R"({"anyOf":[{"$ref":"#"},{"type":"null"}]})"), {"left recursion", "'#' calls '#'"}));
  EXPECT_TRUE(says(refused(R"({"properties":{"a":{"$ref":"#"}},"required":["a"]})"), {"no text"}));
}

TEST(Schema, AnyOfOneOfAllOf) {
  expect_texts(schema(R"({"anyOf":[{"type":"integer"},{"const":"x"}]})"), {"1", R"("x")"}, {R"("y")"});
  expect_texts(schema(R"({"type":"string","anyOf":[{"maxLength":1},{"const":"xyz"}]})"), {R"("a")", R"("xyz")"},
               {R"("ab")"});
  expect_texts(schema(R"({"oneOf":[{"type":"integer"},{"type":"string"}]})"), {"1", R"("x")"}, {"null"});
  const auto by_kind =
      schema(R"({"oneOf":[{"$ref":"#/$defs/a"},{"$ref":"#/$defs/b"}],"discriminator":{"propertyName":"kind"},"$defs":{
    "a":{"type":"object","properties":{"kind":{"const":"a"},"x":{"type":"integer"}},"required":["kind","x"]},
    "b":{"type":"object","properties":{"kind":{"const":"b"}},"required":["kind"]}}})");
  expect_texts(by_kind, {R"({"kind":"a","x":1})", R"({"kind":"b"})"}, {R"({"kind":"a"})", R"({"kind":"c"})"});
  EXPECT_TRUE(says(refused(R"({"oneOf":[{"type":"integer"},{"type":"number"}]})"), {"#/oneOf", "branches 0 and 1"}));
  expect_texts(
      schema(
          R"({"allOf":[{"properties":{"a":{"type":"integer"}},"required":["a"]},{"properties":{"b":{"type":"null"},"a":{"minimum":3}},"required":["b"]}]})"),
      {R"({"a":3,"b":null})"}, {R"({"a":2,"b":null})", R"({"a":3})"});
  expect_texts(schema(R"({"allOf":[{"minimum":1},{"minimum":5,"maximum":9}],"type":"integer"})"), {"5", "9"},
               {"4", "10"});
  expect_texts(schema(R"({"allOf":[{"type":["number","string"]},{"type":["integer","null"]}]})"), {"1"},
               {"null", "1.5", R"("a")"});
  expect_texts(
      schema(R"({"allOf":[{"$ref":"#/$defs/t"}],"default":null,"$defs":{"t":{"items":{"$ref":"#/$defs/t"}}}})"),
      {"[[]]"}, {"1"});
  EXPECT_TRUE(says(refused(R"({"allOf":[{"pattern":"a"},{"pattern":"b"}]})"), {"'pattern'"}));
  EXPECT_TRUE(
      says(refused(R"({"allOf":[{"properties":{"a":{}},"additionalProperties":false},{"properties":{"b":{}}}]})"),
           {"'b'", "additionalProperties"}));
  EXPECT_TRUE(says(refused(R"({"allOf":[{"type":"null"},{"type":"string"}]})"), {"no type"}));
}

TEST(Schema, WhatIsNotSupportedIsRefusedByName) {
  for (const char* keyword : {"not", "if", "then", "else", "patternProperties", "propertyNames", "dependentRequired",
                              "dependentSchemas", "contains", "minContains", "unevaluatedProperties",
                              "unevaluatedItems", "$dynamicRef", "$anchor", "nullable", "x-extra", "Type"})
    EXPECT_TRUE(says(refused(fmt::format(R"({{"properties":{{"a":{{"{}":{{}}}}}}}})", keyword)),
                     {"#/properties/a", keyword, "not supported"}));
  EXPECT_TRUE(says(refused(R"({"type":"text"})"), {"'text'"}));
  EXPECT_TRUE(says(refused(R"x({"type":"string","pattern":"(?=a)"})x"), {"'#'", "'pattern'", "look-around"}));
  EXPECT_TRUE(says(refused(R"x({"items":{"pattern":"("}})x"), {"#/items", "'pattern'", "not closed"}));
  EXPECT_TRUE(says(refused(R"({"items":3})"), {"#/items", "must be an object"}));
  EXPECT_TRUE(says(refused("{\"type\":"), {"JSON schema"}));
  EXPECT_TRUE(says(refused("[]"), {"must be an object"}));
  EXPECT_TRUE(says(refused("false"), {"no text"}));
  EXPECT_TRUE(says(refused(R"({"type":"object","type":"array"})"), {"type"}));
  EXPECT_EQ(
      Grammar::from_json_schema(
          R"({"$schema":"x","$id":"y","$comment":"","title":"","description":"","default":1,"examples":[],"type":"null"})") !=
          nullptr,
      true);
}

TEST(Schema, AnyJsonObject) {
  expect_texts(Grammar::json_object(), {"{}", R"({"a":[1,{"b":null}],"c": "d"})"}, {"[]", "1", "", "{\"a\":}"});
}

}  // namespace
}  // namespace fathom::test
