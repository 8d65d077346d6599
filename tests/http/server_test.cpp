// Group A of the list of hostile tests, in short form: what a stranger can send.
#include "http/server.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <boost/json.hpp>
#include <boost/system/error_code.hpp>
#include <cerrno>

#include "http/client.h"

namespace fathom::http {
namespace {

// After anything, the server answers the next client.
void expect_alive(const TestServer& s) {
  Client client(s.port());
  EXPECT_EQ(client.ask(get("/hello")).status, 200);
}

TEST(Server, AnswersWithItsOwnHeaders) {
  TestServer s;
  Client client(s.port());
  const Response r = client.ask(get("/hello?x=1", "X-Request-Id: my-id.1\r\n"));
  EXPECT_EQ(r.status, 200);
  EXPECT_EQ(r.body, "hello ");
  EXPECT_EQ(r.header("X-Request-Id"), "my-id.1");
  EXPECT_EQ(r.header("Server"), "fathom");
  EXPECT_EQ(r.header("Content-Type"), "text/plain");
  EXPECT_TRUE(r.header("Date").ends_with(" GMT"));
  const Response made = client.ask(get("/hello", "X-Request-Id: bad id\r\n"));
  EXPECT_TRUE(made.header("X-Request-Id").starts_with("req-"));
  EXPECT_NE(client.ask(get("/hello")).header("X-Request-Id"), made.header("X-Request-Id"));
}

TEST(Server, KeepsAConnectionForAThousandRequests) {
  TestServer s;
  Client client(s.port());
  for (int i = 0; i < 1000; ++i) {
    const std::string body = std::to_string(i);
    ASSERT_EQ(client.ask(post("/echo", body)).body, body);
  }
  EXPECT_EQ(s.server.counts().connections_accepted, 1u);
}

TEST(Server, AnswersPipelinedRequestsInOrder) {
  Router router;
  router.add("GET", "/slow", Access::open, [](const Request&, std::shared_ptr<Exchange> exchange) {
    std::thread([exchange] {
      std::this_thread::sleep_for(50ms);
      exchange->reply({.body = "slow"});
    }).detach();
  });
  TestServer s(quick_options(), router);
  Client client(s.port());
  std::string all = get("/slow");
  for (int i = 0; i < 3000; ++i) all += i % 3 == 0 ? get("/none") : post("/echo", std::to_string(i));
  std::thread sender([&] { client.send(all); });  // more than the server reads ahead
  EXPECT_EQ(client.response().body, "slow");
  for (int i = 0; i < 3000; ++i) {
    const Response r = client.response();
    ASSERT_EQ(r.status, i % 3 == 0 ? 404 : 200) << i;
    if (i % 3 != 0) {
      ASSERT_EQ(r.body, std::to_string(i));
    }
  }
  sender.join();
}

TEST(Server, SpeaksHttp10) {
  TestServer s;
  Client one(s.port());
  const Response r = one.ask("GET /hello HTTP/1.0\r\n\r\n");
  EXPECT_EQ(r.status, 200);
  EXPECT_EQ(r.header("Connection"), "close");
  EXPECT_TRUE(one.ended());
  Client two(s.port());
  EXPECT_EQ(two.ask("GET /hello HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").header("Connection"), "keep-alive");
  EXPECT_EQ(two.ask("GET /hello HTTP/1.0\r\n\r\n").status, 200);
  Client three(s.port());
  EXPECT_EQ(three.ask(get("/hello", "Connection: close\r\n")).header("Connection"), "close");
  EXPECT_TRUE(three.ended());
}

TEST(Server, RefusesOtherProtocolsAndCloses) {
  TestServer s;
  for (const std::string_view hello :
       {std::string_view("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        std::string_view("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 abcdefgh\r\n\r\n", 23)}) {
    Client client(s.port());
    EXPECT_EQ(client.ask(hello).status, 400);
    EXPECT_TRUE(client.ended());
  }
  expect_alive(s);
}

TEST(Server, BoundsTheHead) {  // A1, A2
  TestServer s;
  const auto status = [&](std::string_view begin, size_t n, char fill) {
    Client client(s.port());
    client.send(begin);
    const std::string piece(64 << 10, fill);
    for (size_t sent = 0; sent < n && client.send(piece); sent += piece.size()) {
    }
    return client.response().status;
  };
  EXPECT_EQ(status("", 8 << 20, 'A'), 431);
  EXPECT_EQ(status("GET / HTTP/1.1\r\nHost: localhost\r\nX: ", 1 << 20, 'a'), 431);
  EXPECT_EQ(status("GET /", 1 << 20, 'a'), 414);
  std::string many = "GET / HTTP/1.1\r\n";
  for (int i = 0; i < 10000; ++i) many += "a: b\r\n";
  EXPECT_EQ(status(many, 0, ' '), 431);
  Client client(s.port());
  for (const char* bad : {"/%00", "/a%0d%0aSet-Cookie:x", "/%2e%2e%2fetc/passwd", "/../etc", "/%zz", "/\xC3\xA9"})
    EXPECT_EQ(Client(s.port()).ask(get(bad)).status, 400) << bad;
  expect_alive(s);
}

TEST(Server, RefusesAmbiguousLengthsAndCloses) {  // A3
  TestServer s;
  for (const char* headers :
       {"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "Content-Length: 5\r\nContent-Length: 6\r\n",
        "Content-Length: -1\r\n", "Content-Length: +5\r\n", "Content-Length: 0x10\r\n",
        "Content-Length: 18446744073709551616\r\n", "Transfer-Encoding: gzip, chunked\r\n"}) {
    Client client(s.port());
    const Response r =
        client.ask(fmt::format("POST /echo HTTP/1.1\r\nHost: localhost\r\n{}\r\nhello{}", headers, get("/hello")));
    EXPECT_EQ(r.status, 400) << headers;
    EXPECT_TRUE(client.ended()) << headers;
    EXPECT_EQ(client.received(), "") << headers;  // what was smuggled is not answered
  }
}

TEST(Server, TakesChunkedBodies) {  // A4
  TestServer s;
  Client client(s.port());
  const std::string head = "POST /echo HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
  EXPECT_EQ(client.ask(head + "5\r\nhello\r\n1;x=y\r\n!\r\n0\r\n\r\n").body, "hello!");
  for (const char* bad : {"ffffffffffffffffff\r\n", "-5\r\nhello\r\n", "5\r\nhelloGET", "zz\r\n"})
    EXPECT_EQ(Client(s.port()).ask(head + bad + std::string(100, ' ')).status, 400) << bad;
  EXPECT_EQ(Client(s.port()).ask(head + "fffffffff\r\n").status, 413);
  Client extension(s.port());
  extension.send(head + "5;");
  for (int i = 0; i < 32 && extension.send(std::string(32 << 10, 'e')); ++i) {
  }
  EXPECT_EQ(extension.response().status, 400);
}

TEST(Server, BoundsTheBodyBeforeItReads) {  // A5
  Options options = quick_options();
  options.limits.body_bytes = 1000;
  TestServer s(options);
  Client client(s.port());
  EXPECT_EQ(client.ask(post("/echo", std::string(1000, 'x'))).body.size(), 1000u);
  EXPECT_EQ(Client(s.port()).ask(post("/echo", std::string(1001, 'x'))).status, 413);
  Client huge(s.port());
  const Response r = huge.ask("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10000000000\r\n\r\n");
  EXPECT_EQ(r.status, 413);
  EXPECT_EQ(r.header("Connection"), "close");
  Client expects(s.port());
  expects.send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2000\r\nExpect: 100-continue\r\n\r\n");
  ASSERT_TRUE(expects.wait_for("\r\n\r\n"));
  EXPECT_TRUE(expects.received().starts_with("HTTP/1.1 413 "));
  Client fits(s.port());
  fits.send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
  ASSERT_TRUE(fits.wait_for("\r\n\r\n"));
  EXPECT_EQ(fits.received(), "HTTP/1.1 100 Continue\r\n\r\n");
  EXPECT_EQ(fits.ask("hello").body, "hello");
  EXPECT_EQ(Client(s.port()).ask(post("/echo", "x", "Expect: the-unexpected\r\n")).status, 417);
}

TEST(Server, TakesJsonAlone) {  // A6, A11
  TestServer s;
  const auto status = [&](const std::string& headers) {
    return Client(s.port()).ask(post("/echo", "{}", headers)).status;
  };
  for (const char* good :
       {"", "Content-Type: application/json\r\n", "Content-Type: Application/JSON; charset=UTF-8\r\n",
        "Content-Type: application/json;charset=\"utf-8\"\r\n", "Content-Encoding: identity\r\n"})
    EXPECT_EQ(status(good), 200) << good;
  for (const char* bad :
       {"Content-Type: text/plain\r\n", "Content-Type: application/json; charset=utf-16\r\n",
        "Content-Type: multipart/form-data; boundary=x\r\n", "Content-Encoding: gzip\r\n",
        "Content-Type: application/jsonx\r\n", "Content-Type: application/json\r\nContent-Type: text/plain\r\n",
        "Content-Encoding: identity, gzip\r\n"})
    EXPECT_EQ(status(bad), 415) << bad;
}

TEST(Server, EndsSlowRequests) {  // A7
  Options options = quick_options();
  options.limits.head_time = 200ms;
  options.limits.request_time = 400ms;
  options.limits.idle_time = 300ms;
  TestServer s(options);
  Client head(s.port()), body(s.port()), idle(s.port());
  head.send("GET /hello HT");
  body.send("POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n");
  std::thread drip([&] {
    for (int i = 0; i < 40 && body.send("x"); ++i) std::this_thread::sleep_for(20ms);
  });
  expect_alive(s);
  EXPECT_EQ(head.response().status, 408);
  EXPECT_EQ(body.response().status, 408);
  EXPECT_TRUE(idle.ended());
  EXPECT_EQ(idle.received(), "");
  drip.join();
  EXPECT_EQ(s.server.counts().timeouts, 2u);
}

TEST(Server, NamesMethodsAndPathsThatAreNotThere) {  // A10
  TestServer s;
  Client client(s.port());
  const Response wrong = client.ask(get("/echo"));
  EXPECT_EQ(wrong.status, 405);
  EXPECT_EQ(wrong.header("Allow"), "POST, OPTIONS");
  const auto error = boost::json::parse(wrong.body).at("error");
  for (const char* field : {"message", "type", "param", "code"})
    EXPECT_TRUE(error.as_object().contains(field)) << field;
  EXPECT_EQ(client.ask(get("/none")).status, 404);
  EXPECT_EQ(client.ask(get("/hello/")).status, 404);
  EXPECT_EQ(client.ask(get("//hello")).status, 404);
  EXPECT_EQ(client.ask("TRACE /hello HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 405);
  const Response options = client.ask("OPTIONS /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(options.status, 204);
  EXPECT_EQ(options.header("Allow"), "GET, HEAD, OPTIONS");
  client.send("HEAD /hello HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const Response head = client.response(true);
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.header("Content-Length"), "6");
  client.send("HEAD /none HTTP/1.1\r\nHost: localhost\r\n\r\n");
  EXPECT_EQ(client.response(true).status, 404);
  EXPECT_EQ(client.ask(get("/hello")).body, "hello ");  // no body of a HEAD came in between
}

TEST(Server, ChecksHostAndOrigin) {  // A12, A13
  Options options = quick_options();
  options.origins = {"https://app.example"};
  options.hosts = {"chat.example"};
  TestServer s(options);
  const auto ask = [&](const std::string& headers, const char* method = "GET") {
    return Client(s.port()).ask(fmt::format("{} /hello HTTP/1.1\r\n{}\r\n", method, headers));
  };
  for (const char* good :
       {"Host: localhost", "Host: 127.0.0.1:99", "Host: [::1]:1", "Host: chat.example:8080", "Host: LOCALHOST."})
    EXPECT_EQ(ask(std::string(good) + "\r\n").status, 200) << good;
  EXPECT_EQ(ask("Host: evil.example\r\n").status, 403);
  EXPECT_EQ(ask("").status, 400);
  EXPECT_EQ(ask("Host: localhost\r\nHost: localhost\r\n").status, 400);
  EXPECT_EQ(ask("Host: a b\r\n").status, 400);
  EXPECT_EQ(Client(s.port()).ask("GET http://evil.example/hello HTTP/1.1\r\nHost: localhost\r\n\r\n").status, 403);

  const std::string host = "Host: localhost:1\r\n";
  for (const char* foreign :
       {"null", "http://localhost.evil", "http://localhost:2", "https://app.example.evil", "https://evil"}) {
    const Response r = ask(host + "Origin: " + foreign + "\r\n");
    EXPECT_EQ(r.status, 403) << foreign;
    EXPECT_EQ(r.head.find("Access-Control"), std::string::npos) << foreign;
    const Response pre = ask(host + "Origin: " + foreign + "\r\nAccess-Control-Request-Method: POST\r\n", "OPTIONS");
    EXPECT_EQ(pre.head.find("Access-Control"), std::string::npos) << foreign;
  }
  EXPECT_EQ(ask(host + "Origin: http://localhost:1\r\n").status, 200);
  const Response listed = ask(host + "Origin: https://app.example\r\n");
  EXPECT_EQ(listed.header("Access-Control-Allow-Origin"), "https://app.example");
  EXPECT_EQ(listed.header("Vary"), "Origin");
  EXPECT_EQ(listed.head.find("Credentials"), std::string::npos);
  const Response pre = ask(host +
                               "Origin: https://app.example\r\nAccess-Control-Request-Method: POST\r\n"
                               "Access-Control-Request-Headers: authorization\r\n",
                           "OPTIONS");
  EXPECT_EQ(pre.status, 204);
  EXPECT_EQ(pre.header("Access-Control-Allow-Headers"), "authorization");
}

TEST(Server, GivesAWildcardWithoutCredentials) {
  Options options = quick_options();
  options.origins = {"*"};
  TestServer s(options);
  const Response r = Client(s.port()).ask(get("/hello", "Origin: https://any.example\r\n"));
  EXPECT_EQ(r.header("Access-Control-Allow-Origin"), "*");
  EXPECT_EQ(r.head.find("Credentials"), std::string::npos);
}

TEST(Server, ClosesTheOldestIdleConnectionForANewOne) {  // A8
  Options options = quick_options();
  options.limits.connections = 8;
  TestServer s(options);
  std::vector<std::unique_ptr<Client>> idle;
  for (int i = 0; i < 60; ++i) {
    idle.push_back(std::make_unique<Client>(s.port()));
    if (i % 2 == 0) idle.back()->send("GET /hel");  // half-open
  }
  ASSERT_TRUE(eventually([&] { return s.server.counts().connections_accepted == 60; }));
  expect_alive(s);
  EXPECT_TRUE(idle.front()->ended());
  EXPECT_TRUE(eventually([&] { return s.server.counts().connections_open <= 8; }));
  EXPECT_GE(s.server.counts().connections_evicted, 52u);
}

TEST(Server, WaitsWhenThereAreNoDescriptors) {  // A8, G2
  Options options = quick_options();
  options.threads = 1;
  TestServer s(options);
  expect_alive(s);  // a thread that is new may open files of the system for a moment
  ASSERT_TRUE(eventually([&] { return s.server.counts().connections_open == 0; }));
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  // UndefinedBehaviorSanitizer needs a pipe to look at a type that it has not met: it meets this one while there are
  // any.
  EXPECT_FALSE(boost::system::error_code(EMFILE, boost::system::system_category()).message().empty());
  Client late(unconnected);
  rlimit low = before;
  low.rlim_cur = static_cast<rlim_t>(late.descriptor()) + 1;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &low), 0);
  late.connect(s.port());
  late.send(get("/hello"));
  EXPECT_TRUE(eventually([&] { return s.server.counts().accept_errors >= 2; }))
      << s.server.counts().accept_errors << " errors, accepted: " << s.server.counts().connections_accepted;
  EXPECT_FALSE(late.receive(10ms));
  EXPECT_LT(s.server.counts().accept_errors, 10u);  // it did not spin
  ::setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(late.response().status, 200);
}

TEST(Server, TurnsNewConnectionsAwayWhenAllAreBusy) {
  Options options = quick_options();
  options.limits.connections = 3;
  Router router;
  std::mutex mutex;
  std::vector<std::shared_ptr<Exchange>> held;
  router.add("GET", "/hold", Access::open, [&](const Request&, std::shared_ptr<Exchange> exchange) {
    const std::lock_guard lock(mutex);
    held.push_back(std::move(exchange));
  });
  TestServer s(options, router);
  Client a(s.port()), b(s.port()), c(s.port());
  for (Client* client : {&a, &b, &c}) client->send(get("/hold"));
  ASSERT_TRUE(eventually([&] { return s.server.counts().requests_running == 3; }));
  Client d(s.port());
  EXPECT_EQ(d.response().status, 503);
  EXPECT_TRUE(d.ended());
  const std::lock_guard lock(mutex);
  for (const auto& exchange : held) exchange->reply({.body = "done"});
  for (Client* client : {&a, &b, &c}) EXPECT_EQ(client->response().body, "done");
}

TEST(Server, LetsNothingSplitAnAnswer) {  // H8
  Router router;
  router.add("GET", "/split", Access::open, [](const Request&, const std::shared_ptr<Exchange>& exchange) {
    exchange->reply({.status = 7,
                     .content_type = "text/html\r\nX-Evil: 1",
                     .headers = {{"X-Good", "1"},
                                 {"X-A", "1\r\nX-Evil: 2"},
                                 {"X-Evil:", "3"},
                                 {"X-B", std::string("1\0", 2)},
                                 {"Content-Length", "0"},
                                 {"Transfer-Encoding", "chunked"},
                                 {"X-C", "a\nb"}},
                     .body = "body"});
  });
  TestServer s(quick_options(), router);
  const Response r = Client(s.port()).ask(get("/split", "X-Request-Id: a%0d%0aX-Evil: 4\r\n"));
  EXPECT_EQ(r.status, 500);
  EXPECT_EQ(r.header("X-Good"), "1");
  EXPECT_EQ(r.head.find("X-Evil"), std::string::npos) << r.head;
  EXPECT_EQ(r.head.find("X-B"), std::string::npos);
  EXPECT_EQ(r.body, "body");
}

TEST(Server, GivesErrorsInTheFormOfThePath) {
  Router router;
  router.add_error_form("/v1/messages", [](const ErrorInfo& e) { return fmt::format("other:{}", e.status); });
  router.add("POST", "/v1/messages", Access::open,
             [](const Request&, const std::shared_ptr<Exchange>&) { throw std::runtime_error("secret"); });
  TestServer s(quick_options(), router);
  EXPECT_EQ(Client(s.port()).ask(get("/v1/messages")).body, "other:405");
  EXPECT_EQ(Client(s.port()).ask(post("/v1/messages", "{}")).body, "other:500");
  EXPECT_EQ(Client(s.port()).ask(post("/v1/messages", "{}", "Transfer-Encoding: chunked\r\n")).body, "other:400");
  EXPECT_TRUE(Client(s.port()).ask(get("/other")).body.starts_with("{\"error\""));
}

TEST(Server, DrainsAllButWhatIsOpen) {
  Router router;
  router.add("GET", "/long", Access::key, [](const Request&, const std::shared_ptr<Exchange>& exchange) {
    exchange->start(200, "text/plain", {});
    std::thread([exchange] {
      std::this_thread::sleep_for(100ms);
      exchange->write("whole");
      exchange->end();
    }).detach();
  });
  TestServer s(quick_options(), router);
  Client running(s.port()), idle(s.port());
  EXPECT_EQ(idle.ask(get("/hello")).status, 200);
  running.send(get("/long"));
  ASSERT_TRUE(running.wait_for("\r\n\r\n"));
  s.server.drain();
  const Response refused = idle.ask(post("/echo", "{}"));
  EXPECT_EQ(refused.status, 503);
  EXPECT_EQ(refused.header("Retry-After"), "5");
  EXPECT_EQ(refused.header("Connection"), "close");
  expect_alive(s);
  EXPECT_EQ(running.response().body, "whole");
}

TEST(Server, SaysInOneLineWhyItCannotStart) {
  const auto why = [](Options options) {
    try {
      const Server server(std::move(options), Router());
      return std::string();
    } catch (const Error& e) {
      EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos);
      return std::string(e.what());
    }
  };
  TestServer s;
  Options taken;
  taken.port = s.port();
  EXPECT_NE(why(taken).find("is taken"), std::string::npos);
  Options away;
  away.address = "192.0.2.1";
  EXPECT_NE(why(away).find("not an address of this machine"), std::string::npos);
  Options name;
  name.address = "example.org";
  EXPECT_NE(why(name).find("IP address"), std::string::npos);
  Options no_keys;
  no_keys.keys_file = "/dev/null/keys";
  EXPECT_NE(why(no_keys).find("/dev/null/keys"), std::string::npos);
  Options half_tls;
  half_tls.tls_key = "key.pem";
  EXPECT_NE(why(half_tls), "");
  Options no_certificate;
  no_certificate.tls_certificate = no_certificate.tls_key = "/dev/null/x.pem";
  EXPECT_NE(why(no_certificate).find("/dev/null/x.pem"), std::string::npos);
  Options no_time;
  no_time.limits.idle_time = 0ms;
  EXPECT_NE(why(no_time), "");
  if (::geteuid() != 0) {
    Options privileged;
    privileged.port = 80;
    EXPECT_NE(why(privileged), "");
  }
}

TEST(Server, ListensOnIpv6) {
  Options options = quick_options();
  options.address = "::1";
  try {
    TestServer s(options);
    EXPECT_TRUE(s.server.address().starts_with("http://[::1]:"));
  } catch (const Error& e) {
    GTEST_SKIP() << e.what();
  }
}

TEST(Server, ListensOnAUnixSocket) {
  const std::string path = std::filesystem::temp_directory_path() / fmt::format("fathom-{}.sock", ::getpid());
  Options options = quick_options();
  options.address = "unix:" + path;
  {  // stale: nobody listens
    const int fd = ::socket(AF_UNIX, SOCK_STREAM, 0);
    sockaddr_un at{};
    at.sun_family = AF_UNIX;
    path.copy(at.sun_path, sizeof at.sun_path - 1);
    ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    ::close(fd);
  }
  {
    TestServer s(options);
    EXPECT_EQ(s.port(), 0);
    EXPECT_EQ(std::filesystem::status(path).permissions(), std::filesystem::perms(0600));
    Client client(path);
    EXPECT_EQ(client.ask(get("/hello")).status, 200);
    EXPECT_THROW(Server(options, Router()), Error);  // taken
    EXPECT_EQ(client.ask("GET /hello HTTP/1.1\r\nHost: whatever\r\n\r\n").status, 200);
  }
  EXPECT_FALSE(std::filesystem::exists(path));
  std::ofstream(path) << "a file";
  EXPECT_THROW(Server(options, Router()), Error);
  EXPECT_TRUE(std::filesystem::exists(path));
  std::filesystem::remove(path);
  Options too_long = options;
  too_long.address = "unix:/tmp/" + std::string(200, 'a');
  EXPECT_THROW(Server(too_long, Router()), Error);
}

TEST(Server, ThatWasNeverStartedGoesQuietly) {
  const Server server(quick_options(), Router());
  Client client(server.port());
  EXPECT_TRUE(client.connected());
}

}  // namespace
}  // namespace fathom::http
