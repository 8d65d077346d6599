#include "http/parse/authority.h"

#include <gtest/gtest.h>

namespace fathom::http {
namespace {

TEST(Host, IsCutFromItsPort) {
  EXPECT_EQ(host_of("LocalHost:8080"), "localhost");
  EXPECT_EQ(host_of("a.example."), "a.example");
  EXPECT_EQ(host_of("[::1]:8080"), "::1");
  EXPECT_EQ(host_of("[::1]"), "::1");
  for (const char* bad :
       {"", ":80", "a:b", "a:123456", "a b", "[::1", "[::1]x", "[evil]", "::1", "user@host", "a/b", "a,b", "\xC3\xA9"})
    EXPECT_FALSE(host_of(bad)) << bad;
}

TEST(Host, IsAllowedWhenNoNameCanBeReboundToIt) {
  const auto allowed = [](const char* host, std::vector<std::string> listed = {}) {
    return host_allowed(host, "192.0.2.7", listed);
  };
  for (const char* good : {"localhost", "app.localhost", "127.0.0.1", "10.1.2.3", "::1", "192.0.2.7"})
    EXPECT_TRUE(allowed(good)) << good;
  for (const char* bad : {"evil.example", "localhost.evil", "127.0.0.1.evil", "notlocalhost", "0x7f000001", "1"})
    EXPECT_FALSE(allowed(bad)) << bad;
  EXPECT_TRUE(allowed("chat.example", {"Chat.Example"}));
  EXPECT_FALSE(allowed("x.chat.example", {"chat.example"}));
  EXPECT_TRUE(allowed("any.thing", {"*"}));
}

TEST(OriginHeader, IsSameOnlyWithTheHostItself) {
  const std::vector<std::string> list = {"https://app.example"};
  const auto kind = [&](const char* origin) { return classify_origin(origin, "localhost:8080", list); };
  EXPECT_EQ(kind(""), Origin::none);
  EXPECT_EQ(kind("http://localhost:8080"), Origin::same);
  EXPECT_EQ(kind("https://app.example"), Origin::listed);
  for (const char* foreign :
       {"null", "http://localhost", "http://localhost:8080.evil", "http://localhost:80800",
        "http://localhost.evil:8080", "https://app.example.evil", "https://app.example:444", "http://app.example", "*",
        "http://", "file://", "https://app.example, https://app.example", "HTTP://evil"})
    EXPECT_EQ(kind(foreign), Origin::foreign) << foreign;
  EXPECT_EQ(classify_origin("null", "h", {"*"}), Origin::any);
  EXPECT_EQ(classify_origin("http://", "", {}), Origin::foreign);
}

}  // namespace
}  // namespace fathom::http
