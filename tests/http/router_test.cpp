#include "http/router.h"

#include <gtest/gtest.h>

#include "base/error.h"

namespace fathom::http {
namespace {

void nothing(const Request&, const std::shared_ptr<Exchange>&) {}

std::string found(const Router& router, const char* method, std::vector<std::string> path) {
  const auto match = router.find(method, path);
  if (match.route == nullptr) return fmt::format("none, {}", match.allowed.size());
  std::string out = match.route->pattern;
  for (const auto& [name, value] : match.parameters) out += fmt::format(" {}={}", name, value);
  return out;
}

TEST(Router, TakesTheMostSpecificPattern) {
  Router router;
  router.add("GET", "/v1/models/{id*}", Access::key, nothing);
  router.add("GET", "/v1/models/{id}", Access::key, nothing);
  router.add("GET", "/v1/models/special", Access::key, nothing);
  router.add("POST", "/v1/models/{id}/load", Access::admin, nothing);
  router.add("GET", "/", Access::open, nothing);
  EXPECT_EQ(found(router, "GET", {"v1", "models", "special"}), "/v1/models/special");
  EXPECT_EQ(found(router, "GET", {"v1", "models", "a/b"}), "/v1/models/{id} id=a/b");
  EXPECT_EQ(found(router, "GET", {"v1", "models", "a", "b", ""}), "/v1/models/{id*} id=a/b/");
  EXPECT_EQ(found(router, "POST", {"v1", "models", "a", "load"}), "/v1/models/{id}/load id=a");
  EXPECT_EQ(found(router, "HEAD", {""}), "/");
  EXPECT_EQ(found(router, "POST", {""}), "none, 2");  // GET, HEAD
  EXPECT_EQ(found(router, "GET", {"v1", "models", ""}), "none, 0");
  EXPECT_EQ(found(router, "GET", {"v1", "models"}), "none, 0");
  EXPECT_EQ(found(router, "GET", {"", "v1", "models", "special"}), "none, 0");
  EXPECT_EQ(router.routes().size(), 5u);
}

TEST(Router, RefusesPatternsThatAreNone) {
  for (const char* bad : {"", "v1", "/{x*}/y", "/a{x}", "/{x}b", "/{}", "/{*}", "/a*", "/{a{b}}"}) {
    Router router;
    EXPECT_THROW(router.add("GET", bad, Access::open, nothing), Error) << bad;
  }
  Router router;
  router.add("GET", "/x", Access::open, nothing);
  EXPECT_THROW(router.add("GET", "/x", Access::key, nothing), Error);
  EXPECT_THROW(router.add("PUT", "/x", Access::key, nullptr), Error);
}

}  // namespace
}  // namespace fathom::http
