#include "base/json/json_fields.h"

#include <gtest/gtest.h>

#include <type_traits>

#include "support/errors.h"

namespace fathom {
namespace {

using test::refusal;

TEST(JsonFields, SayWhereWhatWasFoundAndWhatWasNeeded) {
  const json::value document = parse_json(
      R"({"whole": 7, "text": "x", "none": null, "list": [{"a": 1}, 2], "inner": {"widht": 3, "deep": {"on": 1}}})",
      "f");
  JsonFields f(document, "f.json");
  EXPECT_EQ(refusal([&] { f.text("whole"); }), "f.json: whole must be a string, found 7");
  EXPECT_EQ(refusal([&] { f.integer("text"); }), "f.json: text must be a whole number, found a string");
  EXPECT_EQ(refusal([&] { f.number("none"); }), "f.json: none is missing (it is null)");
  EXPECT_EQ(refusal([&] { f.array("absent"); }), "f.json: absent is missing");
  EXPECT_EQ(refusal([&] { f.entry("list", 1); }), "f.json: list[1] must be an object, found 2");
  JsonFields inner = f.fields("inner"), deep = inner.fields("deep"), entry = f.entry("list", 0);
  EXPECT_EQ(refusal([&] { inner.integer("width"); }), "f.json: inner.width is missing; there is a key widht");
  EXPECT_EQ(refusal([&] { deep.maybe_boolean("on"); }), "f.json: inner.deep.on must be true or false, found 1");
  EXPECT_EQ(refusal([&] { entry.text("a"); }), "f.json: list[0].a must be a string, found 1");
  const json::value list = json::array();
  EXPECT_EQ(refusal([&] { JsonFields(list, "g.json"); }), "g.json: must be a JSON object, found an array");
}

// It keeps the address of the object.
static_assert(std::is_constructible_v<JsonFields, const json::value&, std::string>);
static_assert(!std::is_constructible_v<JsonFields, json::value, std::string>);
static_assert(!std::is_constructible_v<JsonFields, const json::value, std::string>);
static_assert(!std::is_constructible_v<JsonFields, json::object, std::string>);

TEST(JsonFields, EveryKeyIsReadOrIgnoredOrRefusedByName) {
  const json::value document = parse_json(R"({"a": 1, "b": null, "c": {"wieght": 2}, "d": true})", "f");
  JsonFields f(document, "f.json");
  EXPECT_EQ(f.unread(), "a");
  EXPECT_EQ(f.integer("a"), 1);
  JsonFields c = f.fields("c");
  c.maybe_number("weight");
  EXPECT_EQ(refusal([&] { c.refuse_unread(); }), "f.json: c: unknown key 'wieght'. Did you mean weight?");
  EXPECT_EQ(f.unread(), "d");
  f.ignore("d");
  f.refuse_unread();  // a null says nothing
}

TEST(JsonFields, NullCountsAsAbsent) {
  const json::value document = parse_json(R"({"a": null})", "f");
  JsonFields f(document, "f.json");
  EXPECT_FALSE(f.has("a") || f.maybe_integer("a") || f.maybe_text("a") || f.maybe_fields("a"));
  EXPECT_EQ(f.maybe_array("a"), nullptr);
  f.expect_boolean("a", true, true);
  EXPECT_EQ(refusal([&] { f.expect_boolean("a", true, false); }), "f.json: a = false is not supported");
}

TEST(JsonFields, AKeyThatATerminalWouldObeyIsNotShownAsItIs) {
  const json::value document = parse_json("{\"n\\u001bme\": 1}", "f");
  JsonFields f(document, "f.json");
  EXPECT_EQ(refusal([&] { f.text("name"); }), "f.json: name is missing");
  EXPECT_EQ(refusal([&] { f.refuse_unread(); }), "f.json: unknown key 'n\\x1Bme'. Did you mean name?");
  EXPECT_EQ(refusal([&] { f.text("n\x1bme"); }), "f.json: 'n\\x1Bme' must be a string, found 1");
}

TEST(JsonFields, AKeyOfTheFilesOwnMakingIsQuotedAndCutWhereverItStands) {
  const std::string key(100000, 'k');
  const json::value document =
      parse_json(R"({"a\nb": {"c": 1}, ")" + key + R"(": true, "": 2, "top-k_2": "", "with space": [1]})", "f");
  JsonFields f(document, "f.json");
  EXPECT_EQ(f.place("top-k_2"), "f.json: top-k_2");
  EXPECT_EQ(f.place(""), "f.json: ''");
  EXPECT_EQ(f.place(key), "f.json: '" + key.substr(0, 60) + "...'");
  EXPECT_EQ(f.place("with space", 0), "f.json: 'with space'[0]");
  JsonFields inner = f.fields("a\nb");
  EXPECT_EQ(refusal([&] { inner.text("c"); }), "f.json: 'a\\x0Ab'.c must be a string, found 1");
}

}  // namespace
}  // namespace fathom
