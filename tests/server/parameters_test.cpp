#include "server/api/parameters.h"

#include <gtest/gtest.h>

#include <array>

#include "server/api/routes.h"
#include "server/api/sampling_parameters.h"

namespace fathom::server {
namespace {

using Type = Parameter::Type;

constexpr std::array kList = {
    Parameter{"number", Type::number, -2, 2}, Parameter{"count", Type::integer, 1, 20},
    Parameter{"flag", Type::boolean},         Parameter{"text", Type::text},
    Parameter{"map", Type::object},           Parameter{"list", Type::array},
    Parameter{"user", Type::ignored},         Parameter{"old", Type::refused, 0, 0, "use another"},
};

Parameters read(std::string_view body) { return Parameters(body, std::array{std::span<const Parameter>(kList)}); }

// The parameter that the refusal names; "-" when nothing was refused.
std::string refused(std::string_view body) {
  try {
    read(body);
    return "-";
  } catch (const ApiError& e) {
    EXPECT_EQ(e.info().status, 400);
    EXPECT_FALSE(e.info().message.empty());
    return e.info().param;
  }
}

TEST(Parameters, TypesAndRangesAreTheListed) {
  EXPECT_EQ(refused(R"({"number": 2, "count": 20, "flag": false, "text": "", "map": {}, "list": [], "user": [1]})"),
            "-");
  EXPECT_EQ(refused(R"({"number": null, "old": null})"), "-");
  EXPECT_EQ(refused(R"({"count": 3.0})"), "-");
  for (const char* bad : {"2.0001", "-2.1", "\"1\"", "true", "[]", "1e300"})
    EXPECT_EQ(refused(fmt::format(R"({{"number": {}}})", bad)), "number") << bad;
  for (const char* bad : {"0", "21", "1.5", "-1", "18446744073709551616", "\"3\""})
    EXPECT_EQ(refused(fmt::format(R"({{"count": {}}})", bad)), "count") << bad;
  EXPECT_EQ(refused(R"({"flag": 1})"), "flag");
  EXPECT_EQ(refused(R"({"text": 1})"), "text");
  EXPECT_EQ(refused(R"({"map": []})"), "map");
  EXPECT_EQ(refused(R"({"list": {}})"), "list");
  EXPECT_EQ(refused(R"({"old": 1})"), "old");
  EXPECT_EQ(refused(R"({"numbr": 1})"), "numbr");
  EXPECT_EQ(refused("[]"), "");
  EXPECT_EQ(read(R"({"count": 7.0})").integer("count"), 7);
  EXPECT_EQ(read(R"({"text": "a"})").texts("text", 1), std::vector<std::string>{"a"});
}

// Whatever list a route reads, each parameter refuses every type but its own, and both ends of its range hold exactly.
TEST(Parameters, EveryListedParameterRefusesWhatItIsNot) {
  for (const ApiRoute& route : api_routes()) {
    if (route.body == nullptr) continue;
    const ParameterLists lists = route.body();
    for (const auto list : lists)
      for (const Parameter& p : list) {
        const auto is_refused = [&](const std::string& value) {
          try {
            Parameters(fmt::format(R"({{"{}": {}}})", p.name, value), lists);
            return false;
          } catch (const ApiError& e) {
            EXPECT_EQ(e.info().param, p.name);
            return true;
          }
        };
        const std::pair<Type, std::string> samples[] = {
            {Type::text, "\"x\""}, {Type::boolean, "true"}, {Type::object, "{}"}, {Type::array, "[]"}};
        if (p.type == Type::any || p.type == Type::ignored) continue;
        for (const auto& [type, value] : samples)
          EXPECT_EQ(is_refused(value), p.type != type) << p.name << " " << value;
        EXPECT_FALSE(is_refused("null"));
        if (p.type != Type::number && p.type != Type::integer) continue;
        const double step = p.type == Type::integer ? 1 : 1e-3;
        EXPECT_FALSE(is_refused(fmt::format("{:.3f}", p.least))) << p.name;
        if (p.most < kNoLimit) {
          EXPECT_FALSE(is_refused(fmt::format("{:.3f}", p.most))) << p.name;
          EXPECT_TRUE(is_refused(fmt::format("{:.3f}", p.most + step))) << p.name;
        }
        if (p.least > -kNoLimit) {
          EXPECT_TRUE(is_refused(fmt::format("{:.3f}", p.least - step))) << p.name;
        }
      }
  }
}

TEST(Parameters, HostileJsonIsRefusedWhereItIsWrong) {
  for (const std::string& bad : {std::string(), std::string("{"), std::string("{} {}"), std::string(R"({"a":1,"a":2})"),
                                 std::string("{\"text\":\"\xff\"}"), std::string(R"({"number": NaN})"),
                                 std::string(100000, '['), std::string("{\"text\":\"\\ud800\"}")})
    EXPECT_EQ(refused(bad), "") << bad.substr(0, 30);
  std::string deep = "{\"map\":";
  for (int i = 0; i < 100; ++i) deep += "{\"a\":";
  EXPECT_EQ(refused(deep), "");
}

}  // namespace
}  // namespace fathom::server
