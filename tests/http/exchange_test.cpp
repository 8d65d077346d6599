// Answers from other threads: streams, clients that leave, clients that do not read.
#include "http/exchange.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "http/client.h"

namespace fathom::http {
namespace {

// GET /take hands its exchange to the test.
struct Taker {
  explicit Taker(Options options = quick_options()) : server(std::move(options), router()) {}
  Router router() {
    Router r;
    r.add("GET", "/take", Access::open, [this](const Request&, std::shared_ptr<Exchange> exchange) {
      const std::lock_guard lock(mutex);
      taken.push_back(std::move(exchange));
    });
    return r;
  }
  std::shared_ptr<Exchange> take() {
    std::shared_ptr<Exchange> out;
    EXPECT_TRUE(eventually([&] {
      const std::lock_guard lock(mutex);
      if (taken.empty()) return false;
      out = std::move(taken.front());
      taken.erase(taken.begin());
      return true;
    }));
    return out;
  }
  uint64_t answered(int status) const {
    uint64_t n = 0;
    for (const auto& a : server.server.counts().answered) n += a.status == status ? a.count : 0;
    return n;
  }
  int port() const { return server.port(); }

  std::mutex mutex;
  std::vector<std::shared_ptr<Exchange>> taken;
  TestServer server;
};

TEST(Exchange, StreamsFromAnyThread) {
  Taker t;
  Client client(t.port());
  client.send(get("/take"));
  const auto exchange = t.take();
  exchange->start(200, "text/event-stream", {{"X-More", "1"}});
  ASSERT_TRUE(client.wait_for("\r\n\r\n"));  // the head comes before anything is written
  std::string want;
  std::thread writer([&] {
    for (int i = 0; i < 2000; ++i) {
      const std::string chunk = fmt::format("data: {}\n\n", i);
      want += chunk;
      exchange->write(chunk);
    }
    exchange->write("");  // writes nothing, and ends nothing
    exchange->end();
    exchange->write("late");
    exchange->reply({.body = "late"});
  });
  const Response r = client.response();
  writer.join();
  EXPECT_EQ(r.status, 200);
  EXPECT_EQ(r.header("Content-Type"), "text/event-stream");
  EXPECT_EQ(r.header("Cache-Control"), "no-store");
  EXPECT_EQ(r.header("X-Accel-Buffering"), "no");
  EXPECT_EQ(r.header("X-More"), "1");
  EXPECT_EQ(r.body, want);
  EXPECT_EQ(client.ask(get("/hello")).body, "hello ");  // the connection is kept
  EXPECT_FALSE(exchange->gone());
}

TEST(Exchange, StreamsToHttp10UntilTheEnd) {
  Taker t;
  Client client(t.port());
  client.send("GET /take HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
  const auto exchange = t.take();
  exchange->start(200, "text/plain", {});
  exchange->write("one ");
  exchange->write("two");
  exchange->end();
  const Response r = client.response();
  EXPECT_EQ(r.body, "one two");
  EXPECT_EQ(r.header("Connection"), "close");
}

TEST(Exchange, StreamsNothingToHead) {
  Taker t;
  Client client(t.port());
  client.send("HEAD /take HTTP/1.1\r\nHost: localhost\r\n\r\n");
  const auto exchange = t.take();
  exchange->start(200, "text/plain", {});
  exchange->write("body");
  exchange->end();
  EXPECT_EQ(client.response(true).status, 200);
  EXPECT_EQ(client.ask(get("/hello")).body, "hello ");
}

TEST(Exchange, WritesKeepAliveWhenNothingElseWas) {
  Taker t;
  Client client(t.port());
  client.send(get("/take"));
  const auto exchange = t.take();
  exchange->keep_alive(30ms, ": keep-alive\n\n");
  exchange->start(200, "text/event-stream", {});
  ASSERT_TRUE(client.wait_for(": keep-alive\n\n\r\ne\r\n: keep-alive\n\n"));  // two of them
  for (int i = 0; i < 20; ++i) {
    exchange->write("x");
    std::this_thread::sleep_for(5ms);
  }
  exchange->end();
  const Response r = client.response();
  EXPECT_TRUE(r.body.starts_with(": keep-alive\n\n"));
  std::this_thread::sleep_for(80ms);
  EXPECT_EQ(client.received(), "");  // none behind the end
}

TEST(Exchange, TellsThatTheClientLeftWhileItWaits) {
  for (const bool reset : {false, true})
    for (const bool started : {false, true}) {
      Taker t;
      auto client = std::make_unique<Client>(t.port());
      client->send(get("/take"));
      const auto exchange = t.take();
      if (started) exchange->start(200, "text/event-stream", {});
      std::atomic<int> calls{0};
      exchange->on_gone([&] { ++calls; });
      EXPECT_FALSE(exchange->gone());
      if (reset)
        client->reset();
      else
        client->close();
      EXPECT_TRUE(eventually([&] { return calls == 1; })) << reset << started;
      EXPECT_TRUE(exchange->gone());
      exchange->write("x");
      exchange->end();
      exchange->reply({.body = ""});
      int late = 0;
      exchange->on_gone([&] { ++late; });
      EXPECT_EQ(late, 0);  // it was answered after the client had gone: nobody has to be told
      EXPECT_EQ(calls, 1);
      EXPECT_EQ(t.answered(499), 1u);
      EXPECT_EQ(t.server.server.counts().clients_gone, 1u);
      EXPECT_TRUE(eventually([&] { return t.server.server.counts().connections_open == 0; }));
    }
}

TEST(Exchange, CallsBackAtOnceWhenTheClientHasGone) {
  Taker t;
  auto client = std::make_unique<Client>(t.port());
  client->send(get("/take"));
  const auto exchange = t.take();
  client->close();
  ASSERT_TRUE(eventually([&] { return exchange->gone(); }));
  int calls = 0;
  exchange->on_gone([&] { ++calls; });
  EXPECT_EQ(calls, 1);
  exchange->on_gone([] { throw std::runtime_error("callbacks may not"); });
}

TEST(Exchange, OfAClientThatClosedItsSendingSideIsGone) {  // D6
  Taker t;
  Client client(t.port());
  client.send(get("/take"));
  const auto exchange = t.take();
  client.finish_sending();
  EXPECT_TRUE(eventually([&] { return exchange->gone(); }));
  Client quick(t.port());  // but what is answered at once still comes
  quick.send(get("/hello") + get("/hello"));
  quick.finish_sending();
  EXPECT_EQ(quick.response().body, "hello ");
  EXPECT_EQ(quick.response().body, "hello ");
  EXPECT_TRUE(quick.ended());
}

TEST(Exchange, IsNotGoneAfterItsAnswer) {
  Taker t;
  auto client = std::make_unique<Client>(t.port());
  client->send(get("/take"));
  const auto exchange = t.take();
  std::atomic<int> calls{0};
  exchange->on_gone([&] { ++calls; });
  exchange->reply({.body = "done"});
  EXPECT_EQ(client->response().body, "done");
  client->close();
  EXPECT_TRUE(eventually([&] { return t.server.server.counts().connections_open == 0; }));
  EXPECT_EQ(calls, 0);
  EXPECT_EQ(t.answered(499), 0u);
}

TEST(Exchange, DropsAClientThatReadsTooSlowly) {  // D7
  Options options = quick_options();
  options.limits.write_bytes = 100'000;
  Taker t(options);
  Client client(t.port());
  const int small = 4096;
  ::setsockopt(client.descriptor(), SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  client.send(get("/take"));
  const auto exchange = t.take();
  exchange->start(200, "text/plain", {});
  int writes = 0;
  while (!exchange->gone() && writes < 20'000) {
    exchange->write(std::string(10'000, 'x'));
    ++writes;
    if (writes % 10 == 0) std::this_thread::sleep_for(1ms);
  }
  EXPECT_TRUE(exchange->gone());
  EXPECT_LT(writes, 20'000);
  EXPECT_EQ(t.server.server.counts().clients_dropped, 1u);
  EXPECT_EQ(Client(t.port()).ask(get("/hello")).status, 200);
}

TEST(Exchange, DropsAClientThatDoesNotReadAtAll) {
  Options options = quick_options();
  options.limits.write_time = 100ms;
  Taker t(options);
  Client client(t.port());
  client.send(get("/take"));
  const auto exchange = t.take();
  exchange->start(200, "text/plain", {});
  bool gone = false;
  for (int i = 0; i < 3000 && !gone; ++i) {  // a tick of tokens: far below the bound, but nobody takes them
    exchange->write(std::string(8000, 'x'));
    std::this_thread::sleep_for(2ms);
    gone = exchange->gone();
  }
  EXPECT_TRUE(gone);
}

TEST(Exchange, TakesAReplyOfAnySize) {
  Options options = quick_options();
  options.limits.write_bytes = 1000;
  Taker t(options);
  Client client(t.port());
  client.send(get("/take"));
  t.take()->reply({.body = std::string(20'000'000, 'y')});
  EXPECT_EQ(client.response().body.size(), 20'000'000u);
}

TEST(Exchange, ThatIsDroppedWithoutAnAnswerIsAnError) {
  Taker t;
  Client client(t.port());
  client.send(get("/take"));
  t.take().reset();
  EXPECT_EQ(client.response().status, 500);
  EXPECT_EQ(client.ask(get("/hello")).status, 200);
  Client stream(t.port());
  stream.send(get("/take"));
  {
    const auto exchange = t.take();
    exchange->start(200, "text/plain", {});
    exchange->write("half");
  }
  EXPECT_TRUE(stream.ended());
  EXPECT_EQ(stream.received().find("\r\n0\r\n"), std::string::npos);  // cut, and seen to be
}

TEST(Exchange, SurvivesHandlersThatThrow) {  // G3
  Router router;
  router.add("GET", "/throws", Access::open,
             [](const Request&, const std::shared_ptr<Exchange>&) { throw std::runtime_error("inner secret"); });
  router.add("GET", "/odd", Access::open, [](const Request&, const std::shared_ptr<Exchange>&) { throw 7; });
  router.add("GET", "/late", Access::open, [](const Request&, const std::shared_ptr<Exchange>& e) {
    e->start(200, "text/plain", {});
    throw std::runtime_error("late");
  });
  TestServer s(quick_options(), router);
  Client client(s.port());
  for (const char* path : {"/throws", "/odd"}) {
    const Response r = client.ask(get(path));
    EXPECT_EQ(r.status, 500) << path;
    EXPECT_EQ(r.body.find("secret"), std::string::npos);
  }
  EXPECT_EQ(client.ask(get("/hello")).status, 200);
  client.send(get("/late"));  // a stream that has begun is cut
  EXPECT_TRUE(client.ended());
  EXPECT_EQ(client.received().find("\r\n0\r\n"), std::string::npos);
}

TEST(Exchange, MayOutliveItsServer) {
  std::shared_ptr<Exchange> kept;
  std::atomic<int> calls{0};
  {
    Taker t;
    Client client(t.port());
    client.send(get("/take"));
    kept = t.take();
    kept->on_gone([&] { ++calls; });
    t.server.server.stop();
    EXPECT_EQ(calls, 1);
  }
  EXPECT_TRUE(kept->gone());
  kept->start(200, "text/plain", {});
  kept->write("x");
  kept->end();
  kept->keep_alive(1ms, "x");
  kept.reset();
}

// D5, A7: many threads write, many clients leave at any moment; counters balance, nothing is left open.
TEST(Exchange, BalancesWhenClientsLeaveAtAnyMoment) {
  std::atomic<int> begun{0}, told{0}, finished{0};
  std::mutex mutex;
  std::vector<std::thread> writers;
  Router router;
  router.add("POST", "/stream", Access::open, [&](const Request&, std::shared_ptr<Exchange> exchange) {
    ++begun;
    exchange->on_gone([&told] { ++told; });
    exchange->keep_alive(2ms, ": k\n\n");
    const std::lock_guard lock(mutex);
    writers.emplace_back([exchange, &finished] {
      exchange->start(200, "text/event-stream", {});
      for (int i = 0; i < 20 && !exchange->gone(); ++i) {
        exchange->write("data: token\n\n");
        std::this_thread::sleep_for(1ms);
      }
      exchange->end();
      ++finished;
    });
  });
  TestServer s(quick_options(), router);
  std::vector<std::thread> clients;
  for (int c = 0; c < 4; ++c)
    clients.emplace_back([&s, c] {
      for (int i = 0; i < 30; ++i) {
        Client client(s.port());
        const std::string request = post("/stream", "{}");
        client.send(std::string_view(request).substr(0, i % 5 == 0 ? request.size() / 2 : request.size()));
        if (i % 3 == 0) client.receive(50ms);
        if (i % 4 == 1) client.ended(60ms);
        if (i % 2 == c % 2)
          client.reset();
        else
          client.close();
      }
    });
  for (std::thread& client : clients) client.join();
  EXPECT_TRUE(eventually([&] { return s.server.counts().connections_open == 0; }));
  {
    const std::lock_guard lock(mutex);
    for (std::thread& writer : writers) writer.join();
  }
  EXPECT_EQ(finished, begun);
  EXPECT_EQ(s.server.counts().requests_running, 0u);
  uint64_t answered = 0;
  for (const auto& a : s.server.counts().answered) answered += a.pattern == "/stream" ? a.count : 0;
  EXPECT_EQ(answered, static_cast<uint64_t>(begun.load()));
  EXPECT_LE(told, begun);
}

}  // namespace
}  // namespace fathom::http
