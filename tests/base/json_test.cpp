#include "base/json/json.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "support/errors.h"

namespace fathom {
namespace {

std::string refusal(std::string_view text) {
  const std::string why = test::refusal([&] { parse_json(text, "x.json"); });
  EXPECT_TRUE(why.starts_with("x.json")) << why;
  return why;
}

TEST(Json, RefusesWhatIsNotOneWholeDocument) {
  EXPECT_NE(refusal("").find("ends too early"), std::string::npos);
  EXPECT_NE(refusal("{\"a\": 1").find("ends too early"), std::string::npos);
  EXPECT_NE(refusal("{} {}").find("after the JSON value"), std::string::npos);
  EXPECT_NE(refusal("{\"a\": 1, \"a\": 2}").find("'a' occurs twice"), std::string::npos);
  EXPECT_NE(refusal("{\"b\": {\"a\": 1, \"\\u0061\": 2}}").find("'a' occurs twice"), std::string::npos);
  for (const char* bad :
       {"[1,]", "NaN", "[Infinity]", "{'a': 1}", "/* */ 1", "[1e]", "\"\xC0\x80\"", "[\"\\ud800\"]", "nul"})
    refusal(bad);
}

TEST(Json, AByteOrderMarkInFrontIsNoText) {
  EXPECT_EQ(parse_json("\xEF\xBB\xBF{\"a\": 1}", "x.json"), parse_json("{\"a\": 1}", "x.json"));
  refusal("\xEF\xBB\xBF\xEF\xBB\xBF{}");  // one
  refusal("{}\xEF\xBB\xBF");
}

TEST(Json, WhatIsNoJsonFileIsNamed) {
  const struct {
    std::string_view text, name;
  } cases[] = {
      {"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git-lfs pointer"},
      {"<!DOCTYPE html><html>", "HTML page"},
      {"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code></Error>", "XML"},
      {std::string_view("\xFF\xFE{\0}\0", 6), "UTF-16"},
      {std::string_view("\xFE\xFF\0{\0}", 6), "UTF-16"},
      {"\x1F\x8B\x08", "gzip"},
      {"\x28\xB5\x2F\xFD", "zstd"},
  };
  for (const auto& c : cases) EXPECT_NE(refusal(c.text).find(c.name), std::string::npos) << c.name;
}

TEST(Json, DepthIsLimitedAndCostsNoStack) {
  EXPECT_NE(refusal(std::string(100000, '[')).find("nested more than 32"), std::string::npos);
  std::string objects;
  for (int i = 0; i < 100000; ++i) objects += "{\"a\":";
  EXPECT_NE(refusal(objects).find("nested more than 32"), std::string::npos);
  EXPECT_NO_THROW(parse_json(std::string(32, '[') + std::string(32, ']'), "x.json"));
}

TEST(Json, SameKeyInDifferentObjectsIsFine) {
  const json::value v = parse_json(R"({"a": {"a": [{"a": 1}, {"a": 2}]}, "b": 1e-6})", "x.json");
  EXPECT_EQ(v.at("a").at("a").at(1).at("a").as_int64(), 2);
  EXPECT_EQ(to_pretty_json(v),
            "{\n  \"a\": {\n    \"a\": [\n      {\n        \"a\": 1\n      },\n      {\n        \"a\": 2\n      }\n    "
            "]\n  },\n  \"b\": 1e-06\n}\n");
}

TEST(Json, NumbersThatAreNotFiniteAreWrittenAsNull) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  const json::value v = json::array{std::nan(""), kInfinity, -kInfinity, 1.0};
  EXPECT_EQ(parse_json(to_pretty_json(v), "x"), (json::array{nullptr, nullptr, nullptr, 1.0}));
}

}  // namespace
}  // namespace fathom
