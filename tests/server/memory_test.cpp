// The memory of requests: how much a body takes, and what becomes of a request when there is none left.
#include <gtest/gtest.h>

#include <array>
#include <cstdlib>

#include "http/client.h"
#include "server/api/parameters.h"
#include "server/service.h"
#include "support/allocations.h"

namespace fathom::server {
namespace {

using namespace fathom::testing;

// ---- how much a body takes ----

struct Cost {
  double bytes, allocations, seconds;
};

Cost cost_of_reading(const std::string& body) {
  constexpr std::array kList = {Parameter{"list", Parameter::Type::array}, Parameter{"map", Parameter::Type::object},
                                Parameter{"text", Parameter::Type::text}};
  const int64_t live = live_bytes, count = allocations;
  peak_bytes = live;
  const double start = clock_seconds(true);
  try {
    const Parameters p(body, std::array{std::span<const Parameter>(kList)});
    EXPECT_TRUE(p.has("list") || p.has("map") || p.has("text"));
  } catch (const ApiError& e) {
    EXPECT_EQ(e.info().status, 400);
    EXPECT_LT(e.info().message.size(), 500u);
  }
  return {static_cast<double>(peak_bytes - live), static_cast<double>(allocations - count),
          clock_seconds(true) - start};
}

std::string repeated(const std::string& begin, const std::string& piece, size_t n, const std::string& end) {
  std::string out = begin;
  out.reserve(begin.size() + n * piece.size() + end.size());
  for (size_t i = 0; i < n; ++i) out += piece;
  return out + end;
}

std::string many_keys(const std::string& begin, size_t n, const std::string& end) {
  std::string out = begin;
  for (size_t i = 0; i < n; ++i) out += fmt::format("{}\"{:x}\":1", i == 0 ? "" : ",", i);
  return out + end;
}

// 16 times the body takes 16 times the memory and the work, and never more than a bound for each of its bytes. (A time
// that grew with the square would be 256 times as long.)
TEST(RequestMemory, OfAMillionElementsIsBoundedAndLinear) {
  constexpr size_t kMillion = 1'000'000, kText = 16 << 20;
  const std::pair<size_t, std::function<std::string(size_t)>> bodies[] = {
      {kMillion, [](size_t n) { return repeated("{\"list\":[0", ",0", n, "]}"); }},
      {kMillion, [](size_t n) { return repeated("{\"list\":[0", ",[[]]", n, "]}"); }},
      {kMillion, [](size_t n) { return repeated("{\"list\":[0", ",{\"a\":\"\"}", n, "]}"); }},
      {kMillion, [](size_t n) { return many_keys("{\"map\":{", n, "}}"); }},
      {kMillion / 8, [](size_t n) { return many_keys("{", n, "}"); }},  // none of them known
      {kText, [](size_t n) { return repeated("{\"text\":\"", "a", n, "\"}"); }},
      {kText / 8, [](size_t n) { return repeated("{\"text\":\"", "\\u00e9\\n", n, "\"}"); }},
      {kText, [](size_t n) { return repeated("{\"", "a", n, "\":1}"); }},
      {kText, [](size_t n) { return repeated("{\"map\":{\"", "a", n, "\":1}}"); }},
      {kText, [](size_t n) { return repeated("{\"text\":\"\",", " ", n, "}"); }},
      {kText, [](size_t n) { return repeated("{\"list\":[", "1", n, "]}"); }},
  };
  for (const auto& [n, body_of] : bodies) {
    const std::string part = body_of(n / 16), whole = body_of(n);
    const Cost a = cost_of_reading(part), b = cost_of_reading(whole);
    const std::string name = whole.substr(0, 20);
    EXPECT_LE(b.bytes, 40.0 * static_cast<double>(whole.size())) << name;
    EXPECT_LE(b.bytes, 24 * a.bytes + (1 << 20)) << name;
    EXPECT_LE(b.allocations, 24 * a.allocations + 100) << name;
    EXPECT_LE(b.seconds, 100 * a.seconds + 0.5) << name;
  }
}

// ---- when there is none left ----

const int64_t kStrides = std::getenv("FATHOM_EVERY_ALLOCATION") != nullptr ? kNever : 60;  // tried for each request

struct RunningService {
  explicit RunningService(ServiceOptions o = options()) : service(bundled(), std::move(o)) {
    service.start();
    EXPECT_TRUE(http::eventually([&] { return snapshot().state == EngineState::ready; }));
  }
  static std::vector<NamedModel> bundled() {
    std::vector<NamedModel> models;
    models.push_back({"bundled", load_model(FATHOM_GOLDEN_DIR "/../../models/bundled.gguf")});
    return models;
  }
  static ServiceOptions options() {
    ServiceOptions o;
    o.http.limits.head_time = o.http.limits.request_time = std::chrono::seconds(10);
    o.http.limits.linger_time = std::chrono::milliseconds(200);
    o.log.path = "/dev/null";
    o.model.engine.threads = 2;
    o.model.engine.engine.engine.cache_tokens = 4096;
    o.model.engine.engine.engine.numerics = Numerics::quantised();
    return o;
  }
  EngineSnapshot snapshot() { return service.models().first().engine_snapshot(); }
  int port() { return service.http().port(); }
  // Nothing runs, waits or holds the cache, and no connection or request is counted that is gone.
  bool is_idle() {
    const EngineSnapshot e = snapshot();
    const http::ServerCounts c = service.http().counts();
    return e.running + e.queued + e.cache_tokens_in_use == 0 && c.requests_running + c.connections_open == 0;
  }
  Service service;
};

std::string post(const std::string& path, const std::string& body) {
  return http::post(path, body, "Content-Type: application/json\r\nConnection: close\r\n");
}

const std::vector<std::string>& hard_requests() {
  static const std::vector<std::string> requests = {
      post("/v1/completions",
           R"({"prompt":["The king said","to the people"],"max_tokens":5,"echo":true,"logprobs":2,"temperature":1})"),
      post("/v1/chat/completions", R"({"messages":[{"role":"user","content":"Hi"}],"stream":true,"n":2,"max_tokens":6,)"
                                   R"("guided_regex":"[a-z]{3,9}","logprobs":true,"top_logprobs":2,"stop":["zz"]})"),
      post("/v1/chat/completions",
           R"({"messages":[{"role":"user","content":"Hi"}],"max_tokens":40,"tool_choice":"required",)"
           R"("tools":[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":)"
           R"({"a":{"enum":["x","y"]}},"required":["a"],"additionalProperties":false}}}]})"),
      post("/v1/messages", R"({"max_tokens":5,"messages":[{"role":"user","content":"Hi"}],"stream":true})"),
      post("/v1/responses", R"({"input":"Hi","max_output_tokens":5,"stream":true})"),
      post("/v1/embeddings", R"({"input":["The king","x"]})"),
      post("/tokenize", R"({"prompt":"The king said to the people","with_pieces":true})"),
      http::get("/metrics", "Connection: close\r\n"),
      http::get("/", "Connection: close\r\n"),
  };
  return requests;
}

// The status of the answer; 0: the connection was closed without one.
int ask(int port, const std::string& request) {
  http::Client client(port);
  client.send(request);
  EXPECT_TRUE(client.ended(std::chrono::seconds(20))) << "neither answered nor closed";
  const std::string& answer = client.received();
  return answer.starts_with("HTTP/1.1 ") ? std::atoi(answer.c_str() + 9) : 0;
}

// A text of the model, which a server that is well says again.
std::string greedy_text(int port) {
  http::Client client(port);
  const std::string body =
      client.ask(post("/v1/completions", R"({"prompt":"The king said","max_tokens":3,"temperature":0})")).body;
  const size_t at = body.find("\"text\":");
  return at == std::string::npos ? "" : body.substr(at, body.find("\"logprobs\"", at) - at);
}

// Whichever allocations fail, on whichever threads: that request gets 500 or 503, or what is left of its answer, or is
// closed; nothing stays of it, and the next one is answered as ever.
TEST(RequestMemory, WhatRunsOutEndsOneRequest) {
  is_spared = true;
  RunningService s;
  const std::string text = greedy_text(s.port());
  ASSERT_NE(text, "");
  for (const std::string& request : hard_requests()) {
    const std::string name = request.substr(0, request.find(" HTTP"));
    int64_t n = 0;
    for (int i = 0; i < 3; ++i) {
      until_failure = kNever;
      ASSERT_EQ(ask(s.port(), request), 200) << name;
      n = kNever - until_failure;
    }
    ASSERT_GT(n, 50) << name;
    std::map<int, int> outcomes;
    for (int64_t k = 1, i = 0; k <= n; k += 1 + n / kStrides, ++i) {
      SCOPED_TRACE(fmt::format("{}: {} allocations from {} of {} on", name, i % 3 == 2 ? 20 : 1, k, n));
      n_failures = i % 3 == 2 ? 20 : 1;
      until_failure = k;
      ++outcomes[ask(s.port(), request)];
      until_failure = kNever;
      ASSERT_EQ(greedy_text(s.port()), text);
      if (HasFailure()) return;
    }
    for (const auto& [status, count] : outcomes)
      EXPECT_TRUE(status == 0 || status == 200 || status == 500 || status == 503) << name << ": " << status;
    EXPECT_GT(outcomes[500] + outcomes[503] + outcomes[0], 0) << name << ": no failure was felt";
    EXPECT_TRUE(http::eventually([&] { return s.is_idle(); })) << name << ": something stays";
  }
}

}  // namespace
}  // namespace fathom::server
