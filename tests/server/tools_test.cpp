#include "server/api/tools.h"

#include <gtest/gtest.h>

#include <random>

namespace fathom::server {
namespace {

ToolPlan plan() {
  ToolPlan p;
  p.tools = {{"f", "", {}}, {"get_weather", "", {}}};
  p.choice = ToolChoice::automatic;
  return p;
}

struct Parsed {
  std::string text;
  std::vector<std::pair<std::string, std::string>> calls;
  bool operator==(const Parsed&) const = default;
};

Parsed parse(const ToolPlan& p, std::string_view text, std::vector<size_t> cuts) {
  CallParser parser(p);
  Parsed out;
  size_t at = 0;
  cuts.push_back(text.size());
  for (const size_t cut : cuts) {
    out.text += parser.push(text.substr(at, cut - at));
    at = cut;
  }
  CallParser::Rest rest = parser.finish();
  out.text += rest.text;
  for (const ToolCall& c : rest.calls) {
    EXPECT_TRUE(c.id.starts_with("call_"));
    out.calls.emplace_back(c.name, c.arguments);
  }
  return out;
}

const std::string kMarked =
    "I look.<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>get_weather\n```json\n{\"city\": \"x "
    "<｜tool▁sep｜> "
    "}\"}\n```<｜tool▁call▁end｜>\n<｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n```json\n{}\n```<｜tool▁call▁"
    "end｜><｜tool▁calls▁end｜>";

TEST(CallParser, EverySplitGivesTheSameCalls) {
  const ToolPlan p = plan();
  const std::string texts[] = {R"({"name": "f", "arguments": {"a": [1, "}"]}})",
                               "  {\"name\":\"get_weather\",\"arguments\":{}}",
                               R"({"name": "unknown", "arguments": {}})",
                               R"({"name": "f", "arguments": {"a":)",
                               R"({"some": "json"})",
                               "plain words { and <｜tool braces }",
                               kMarked,
                               kMarked.substr(0, kMarked.size() / 2),
                               "<｜tool▁calls▁begin",
                               ""};
  std::mt19937 random(1);
  for (const std::string& text : texts) {
    const Parsed whole = parse(p, text, {});
    for (size_t cut = 0; cut <= text.size(); ++cut) EXPECT_EQ(parse(p, text, {cut}), whole) << text << " at " << cut;
    for (int round = 0; round < 50; ++round) {
      std::vector<size_t> cuts(random() % 8);
      for (size_t& c : cuts) c = random() % (text.size() + 1);
      std::sort(cuts.begin(), cuts.end());
      EXPECT_EQ(parse(p, text, cuts), whole) << text;
    }
    std::vector<size_t> all(text.size());
    for (size_t i = 0; i < all.size(); ++i) all[i] = i;
    EXPECT_EQ(parse(p, text, all), whole) << text;
  }
}

TEST(CallParser, CallsAreReadAndNothingElse) {
  using Calls = std::vector<std::pair<std::string, std::string>>;
  const ToolPlan p = plan();
  EXPECT_EQ(parse(p, R"({"name": "f", "arguments": {"a": 1}})", {}), (Parsed{"", Calls{{"f", R"({"a":1})"}}}));
  EXPECT_EQ(parse(p, kMarked, {}),
            (Parsed{"I look.", Calls{{"get_weather", "{\"city\": \"x <｜tool▁sep｜> }\"}"}, {"f", "{}"}}}));
  for (const std::string text : {R"({"name": "unknown", "arguments": {}})", R"({"name": "f"})", "words"})
    EXPECT_EQ(parse(p, text, {}), (Parsed{text, {}}));
  const std::string cut = kMarked.substr(0, kMarked.size() - 60);  // in the middle of the second call
  EXPECT_EQ(parse(p, cut, {}), (Parsed{cut, {}}));
  const std::string invented = std::string(kMarked).replace(kMarked.find("get_weather"), 11, "get_money");
  EXPECT_EQ(parse(p, invented, {}), (Parsed{invented, {}}));
  // What looks like a call within the arguments of one is a part of them.
  const std::string nested =
      "<｜tool▁calls▁begin｜><｜tool▁call▁begin｜>function<｜tool▁sep｜>f\n{\"a\": "
      "\"<｜tool▁call▁begin｜>x\"}<｜tool▁call▁end｜>";
  EXPECT_EQ(parse(p, nested, {}), (Parsed{"", Calls{{"f", "{\"a\": \"<｜tool▁call▁begin｜>x\"}"}}}));
  ToolPlan none = plan();
  none.choice = ToolChoice::none;
  EXPECT_EQ(parse(none, kMarked, {}), (Parsed{kMarked, {}}));
}

}  // namespace
}  // namespace fathom::server
