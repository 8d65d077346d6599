#include "http/parse/target.h"

#include <gtest/gtest.h>

namespace fathom::http {
namespace {

TEST(Target, IsDecodedAndCut) {
  const auto t = split_target("/v1/models/a%2Fb%20c/d?x=1&y=a+b%26&empty=&flag&&z=%3D%3D");
  ASSERT_TRUE(t);
  EXPECT_EQ(t->path, "/v1/models/a/b c/d");
  EXPECT_EQ(t->segments, (std::vector<std::string>{"v1", "models", "a/b c", "d"}));
  const decltype(t->query) want = {{"x", "1"}, {"y", "a b&"}, {"empty", ""}, {"flag", ""}, {"z", "=="}};
  EXPECT_EQ(t->query, want);
}

TEST(Target, KeepsEmptySegments) {
  EXPECT_EQ(split_target("/")->segments, std::vector<std::string>{""});
  EXPECT_EQ(split_target("//a/")->segments, (std::vector<std::string>{"", "a", ""}));
  EXPECT_EQ(split_target("//a/")->path, "//a/");
}

TEST(Target, MayBeAbsolute) {
  const auto t = split_target("http://LocalHost:8080/v1/models?x=1");
  ASSERT_TRUE(t);
  EXPECT_EQ(t->authority, "LocalHost:8080");
  EXPECT_EQ(t->path, "/v1/models");
  EXPECT_EQ(split_target("HTTPS://h?q=1")->path, "/");
  EXPECT_FALSE(split_target("http:///x"));
  EXPECT_FALSE(split_target("ftp://h/x"));
}

TEST(Target, RefusesWhatCouldReachElsewhere) {
  for (const char* bad :
       {"",      "*",         "v1",          "localhost:443", "/a/../b",  "/..",        "/a/%2e%2e/b",
        "/%2E",  "/a/.%2e",   "/a%2F..%2Fb", "/%2e%2e%2fetc", "/a%2f.",   "/a%00",      "/a%0d%0aX: y",
        "/a%7F", "/a%",       "/a%2",        "/a%zz",         "/a?x=%",   "/a?x=%f",    "/a#b",
        "/a b",  "/\xC3\xA9", "/a\x01",      "/%ff",          "/a?x=%C3", "/%ED%A0%80", "/%C0%AF"})
    EXPECT_FALSE(split_target(bad)) << bad;
  EXPECT_FALSE(split_target(std::string_view("/a\0b", 4)));
  for (const char* good : {"/...", "/a..b", "/%C3%A9", "/a?x=%0A", "/a?x=../..", "/a%2Fb"})
    EXPECT_TRUE(split_target(good)) << good;
}

TEST(Target, OfAMebibyteIsReadInOneGo) {
  const auto t = split_target("/" + std::string(1 << 20, '/') + "?" + std::string(1 << 20, '&'));
  ASSERT_TRUE(t);
  EXPECT_EQ(t->segments.size(), (1u << 20) + 1);
}

}  // namespace
}  // namespace fathom::http
