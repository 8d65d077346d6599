// H1: every route of a router, whatever it is, with no key, a wrong one, the right one and an admin's.
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "http/client.h"

namespace fathom::http {
namespace {

struct KeyFile {
  KeyFile() { write("user: sk-user-0123456789\nadmin: sk-admin-0123456789 admin\n"); }
  ~KeyFile() { std::filesystem::remove(path); }
  void write(const std::string& text) const {
    std::ofstream(path) << text;
    std::filesystem::permissions(path, std::filesystem::perms(0600));
  }
  const std::string path = std::filesystem::temp_directory_path() / fmt::format("fathom-access-{}", ::getpid());
};

Router all_kinds() {
  Router router;
  const auto ok = [](const Request& r, const std::shared_ptr<Exchange>& e) { e->reply({.body = r.key_name}); };
  for (const char* method : {"GET", "POST", "DELETE"}) {
    router.add(method, "/live", Access::open, ok);
    router.add(method, "/v1/models/{id*}", Access::key, ok);
    router.add(method, "/admin/{what}", Access::admin, ok);
  }
  return router;
}

std::string path_of(const Route& route) {
  std::string path = route.pattern;
  for (const auto& [from, to] : {std::pair("{id*}", "a/b"), std::pair("{what}", "x")})
    if (const size_t at = path.find(from); at != std::string::npos) path.replace(at, std::strlen(from), to);
  return path;
}

int status_with(int port, const std::string& method, const std::string& path, const std::string& key_header) {
  Client client(port);
  const Response r = client.ask(fmt::format("{} {} HTTP/1.1\r\nHost: localhost\r\n{}\r\n", method, path, key_header));
  if (r.status == 401) {
    EXPECT_EQ(r.header("WWW-Authenticate"), "Bearer realm=\"fathom\"");
  }
  EXPECT_EQ(r.head.find("sk-"), std::string::npos);
  EXPECT_EQ(r.body.find("sk-"), std::string::npos);
  return r.status;
}

TEST(KeyedServer, AsksForAKeyInFrontOfEveryRoute) {
  const KeyFile file;
  Options options = quick_options();
  options.keys_file = file.path;
  TestServer s(options, all_kinds());
  const std::string none, wrong = "Authorization: Bearer sk-user-012345678\r\n",
                          user = "Authorization: Bearer sk-user-0123456789\r\n",
                          admin = "x-api-key: sk-admin-0123456789\r\n";
  for (const Route& route : s.server.router().routes()) {
    const std::string path = path_of(route);
    SCOPED_TRACE(route.method + " " + path);
    const int open = route.access == Access::open ? 200 : 401;
    EXPECT_EQ(status_with(s.port(), route.method, path, none), open);
    EXPECT_EQ(status_with(s.port(), route.method, path, wrong), open);
    EXPECT_EQ(status_with(s.port(), route.method, path, user), route.access == Access::admin ? 403 : 200);
    EXPECT_EQ(status_with(s.port(), route.method, path, admin), 200);
  }
  EXPECT_EQ(status_with(s.port(), "GET", "/none", none), 401);  // what is not there is told only to who has a key
  EXPECT_EQ(status_with(s.port(), "PUT", "/live", none), 401);
  EXPECT_EQ(status_with(s.port(), "OPTIONS", "/live", none), 401);
  EXPECT_EQ(status_with(s.port(), "GET", "/none", user), 404);
  EXPECT_EQ(status_with(s.port(), "PUT", "/live", user), 405);
}

TEST(KeyedServer, ReadsItsKeysAgain) {
  const KeyFile file;
  Options options = quick_options();
  options.keys_file = file.path;
  TestServer s(options, all_kinds());
  const std::string user = "Authorization: Bearer sk-user-0123456789\r\n",
                    next = "Authorization: Bearer sk-next-0123456789\r\n";
  EXPECT_EQ(status_with(s.port(), "GET", "/v1/models/a", user), 200);
  file.write("broken\n");
  EXPECT_THROW(s.server.reload_keys(), Error);
  EXPECT_EQ(status_with(s.port(), "GET", "/v1/models/a", user), 200);
  file.write("next: sk-next-0123456789\n");
  s.server.reload_keys();
  EXPECT_EQ(status_with(s.port(), "GET", "/v1/models/a", user), 401);
  EXPECT_EQ(status_with(s.port(), "GET", "/v1/models/a", next), 200);
}

TEST(KeyedServer, KeepsAdminRoutesFromStrangersWhenThereAreNoKeys) {
  TestServer local(quick_options(), all_kinds());
  EXPECT_EQ(status_with(local.port(), "GET", "/admin/x", ""), 200);
  Options options = quick_options();
  options.address = "0.0.0.0";
  TestServer open(options, all_kinds());
  EXPECT_EQ(status_with(open.port(), "GET", "/admin/x", ""), 403);
  EXPECT_EQ(status_with(open.port(), "GET", "/v1/models/a", ""), 200);
}

}  // namespace
}  // namespace fathom::http
