// The load generator, against a server that answers from a script.
#include "measure/serve/serve_bench.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <functional>
#include <mutex>
#include <numeric>
#include <random>
#include <set>
#include <thread>

#include "measure/serve/event_reader.h"
#include "support/errors.h"
#include "support/strict_event_reader.h"

namespace fathom::serve_bench {
namespace {

using test::contains;
using test::refusal;
using namespace std::chrono_literals;

// Answers each request with what `script` writes, and closes. A thread for each connection.
class FakeServer {
 public:
  struct Call {
    std::string target;
    json::value body;
  };
  using Write = std::function<void(const std::string&)>;
  using Script = std::function<void(const Call&, const Write&)>;

  explicit FakeServer(Script script) : script_(std::move(script)), listener_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&at), sizeof at), 0);
    EXPECT_EQ(::listen(listener_, 64), 0);
    socklen_t size = sizeof at;
    ::getsockname(listener_, reinterpret_cast<sockaddr*>(&at), &size);
    port_ = ntohs(at.sin_port);
    thread_ = std::thread([this] { accept_all(); });
  }
  ~FakeServer() {
    ::shutdown(listener_, SHUT_RDWR);
    thread_.join();
    for (std::thread& t : connections_) t.join();
    ::close(listener_);
  }
  FakeServer(const FakeServer&) = delete;
  FakeServer& operator=(const FakeServer&) = delete;

  std::string root() const { return fmt::format("http://127.0.0.1:{}", port_); }
  Target target() const { return {.name = "fake", .root = root(), .model = "m", .api_key = ""}; }
  int most_open() const { return most_open_; }

 private:
  void accept_all() {
    for (int fd = 0; (fd = ::accept(listener_, nullptr, nullptr)) >= 0;)
      connections_.emplace_back([this, fd] { serve(fd); });
  }

  void serve(int fd) {
    std::string in;
    char piece[4096];
    size_t head = std::string::npos, length = 0;
    while (head == std::string::npos || in.size() < head + 4 + length) {
      const ssize_t n = ::recv(fd, piece, sizeof piece, 0);
      if (n <= 0) break;
      in.append(piece, static_cast<size_t>(n));
      if (head != std::string::npos || (head = in.find("\r\n\r\n")) == std::string::npos) continue;
      const size_t at = in.find("Content-Length: ");
      if (at < head) length = std::stoul(in.substr(at + 16));
    }
    if (head != std::string::npos) {
      most_open_ = std::max<int>(most_open_, ++open_);
      const Call call{.target = in.substr(in.find(' ') + 1, in.find(" HTTP") - in.find(' ') - 1),
                      .body = length > 0 ? parse_json(in.substr(head + 4), "a request") : json::value()};
      script_(call, [fd](const std::string& bytes) {
        EXPECT_EQ(::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL), static_cast<ssize_t>(bytes.size()));
      });
      --open_;
    }
    ::close(fd);
  }

  Script script_;
  int listener_, port_ = 0;
  std::atomic<int> open_ = 0, most_open_ = 0;
  std::thread thread_;
  std::vector<std::thread> connections_;
};

constexpr const char* kStream = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n";

std::string whole(int status, const std::string& body) {
  return fmt::format("HTTP/1.1 {} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{}", status, body.size(), body);
}

// max_tokens pieces of text and the usage, without a pause.
void answer_whole(const FakeServer::Call& call, const FakeServer::Write& write) {
  const int64_t n = call.body.at("max_tokens").as_int64();
  std::string out = kStream;
  for (int64_t i = 0; i < n; ++i) out += "data: {\"choices\":[{\"text\":\"a\"}],\"usage\":null}\n\n";
  out += fmt::format(
      "data: {{\"choices\":[],\"usage\":{{\"prompt_tokens\":7,\"completion_tokens\":{}}}}}\n\ndata: [DONE]\n\n", n);
  write(out);
}

std::function<Request(int64_t)> plain_requests(int64_t max_tokens) {
  return [=](int64_t) { return Request{0, fmt::format("{{\"max_tokens\":{}}}", max_tokens)}; };
}

TEST(ServeTally, PercentilesAreNearestRanks) {
  std::vector<double> values(100);
  std::iota(values.rbegin(), values.rend(), 1);
  const Percentiles p = percentiles(values);
  EXPECT_EQ(p.p50, 50);
  EXPECT_EQ(p.p90, 90);
  EXPECT_EQ(p.p99, 99);
  EXPECT_EQ(p.most, 100);
  EXPECT_DOUBLE_EQ(p.mean, 50.5);
  EXPECT_EQ(percentiles({3}).p50, 3);
  EXPECT_EQ(percentiles({3}).p99, 3);
  EXPECT_EQ(percentiles({1, 2, 3}).p50, 2);
  EXPECT_EQ(percentiles({}).n, 0);
}

Outcome answered(size_t kind, double asked, double first, std::vector<double> gaps) {
  Outcome o{.kind = kind, .asked = asked, .first = first, .ended = first};
  for (const double gap : gaps) o.ended += gap;
  o.output_tokens = static_cast<int64_t>(gaps.size()) + 1;
  o.gaps = std::move(gaps);
  return o;
}

TEST(ServeTally, CountsByKindAndAcrossRuns) {
  Outcome failed{.kind = 1, .asked = 0, .ended = 4};
  failed.error = "HTTP 429";
  failed.detail = "full";
  const std::vector<Drive> drives = {{{answered(0, 1, 2, {0.5, 0.5}), failed}, 4}, {{answered(1, 0, 3, {1, 3})}, 6}};
  const Tally all = tally(drives, {.first_seconds = 1, .token_seconds = 0.5});
  EXPECT_EQ(all.requests, 3);
  EXPECT_EQ(all.answered, 2);
  EXPECT_EQ(all.good, 1);
  EXPECT_EQ(all.output_tokens, 6);
  EXPECT_DOUBLE_EQ(all.output_rate(), 0.6);
  EXPECT_DOUBLE_EQ(all.good_rate(), 0.1);
  EXPECT_EQ(all.gap.n, 4);
  EXPECT_DOUBLE_EQ(all.first.most, 3);
  EXPECT_DOUBLE_EQ(all.whole.p50, 2);
  EXPECT_EQ(all.errors.at("HTTP 429").n, 1);
  EXPECT_EQ(all.errors.at("HTTP 429").detail, "full");
  EXPECT_EQ(tally(drives, {}, 0).answered, 1);
  EXPECT_EQ(tally(drives, {}, 1).requests, 2);
}

TEST(ServeTally, GapsBesideTheLongestPromptAreThoseThatOverlapItsWait) {
  Outcome brief = answered(0, 0, 1, {1, 2, 1, 1});  // texts at 1, 2, 4, 5, 6
  brief.prompt_tokens = 10;
  Outcome lengthy = answered(1, 3, 4.5, {7});
  lengthy.prompt_tokens = 9000;
  const Tally t = tally({{{brief, lengthy}, 12}}, {});
  EXPECT_EQ(t.gap.n, 5);
  EXPECT_EQ(t.gap_beside_prompt.n, 2);  // from 2 to 4 and from 4 to 5
  EXPECT_DOUBLE_EQ(t.gap_beside_prompt.most, 2);
  EXPECT_EQ(tally({{{brief, brief}, 6}}, {}).gap_beside_prompt.n, 0);
  EXPECT_EQ(tally({{{brief}, 6}, {{lengthy}, 12}}, {}).gap_beside_prompt.n, 0);  // not in the same run
}

TEST(ServeTally, ARequestIsGoodWithinBothLimits) {
  const Outcome o = answered(0, 1, 2, {0.1, 0.3});
  EXPECT_TRUE(is_good(o, {}));
  EXPECT_TRUE(is_good(o, {.first_seconds = 1, .token_seconds = 0.21}));
  EXPECT_FALSE(is_good(o, {.first_seconds = 0.99}));
  EXPECT_FALSE(is_good(o, {.token_seconds = 0.19}));
  EXPECT_TRUE(is_good(answered(0, 1, 2, {}), {.token_seconds = 1e-9}));  // one token has no time between
}

std::vector<std::string> events_of(std::string_view stream, std::initializer_list<size_t> cuts) {
  std::vector<std::string> got;
  EventReader reader;
  size_t at = 0;
  for (const size_t cut : cuts) {
    reader.read(stream.substr(at, cut - at), [&](std::string_view data) { got.emplace_back(data); });
    at = cut;
  }
  reader.read(stream.substr(at), [&](std::string_view data) { got.emplace_back(data); });
  return got;
}

TEST(ServeEvents, EveryCutGivesTheSameEvents) {
  const std::string text =
      "\xEF\xBB\xBF"
      "data: first\n\n: ping\r\n\r\nevent: x\ndata: {\"a\":1}\n\ndata:two\ndata: lines\n\n\ndata: a\r\rdata\r\n\ndata: "
      " "
      "b\r\n\rdata: [DONE]\r\n\r\ndata: cut";
  const std::vector<std::string> wanted = {"first", "{\"a\":1}", "two\nlines", "a", "", " b", "[DONE]"};
  for (size_t first = 0; first <= text.size(); ++first)
    for (size_t second = first; second <= text.size(); ++second)
      ASSERT_EQ(events_of(text, {first, second}), wanted) << first << " " << second;
}

TEST(ServeEvents, AreThoseOfTheStandard) {
  std::mt19937 random(1);
  const std::string_view pieces[] = {"data",         ":",     " ",      "\r", "\n", "\r\n", "x", "event",
                                     "\xEF\xBB\xBF", "id: 5", "data: y"};
  for (int round = 0; round < 20000; ++round) {
    std::string stream;
    for (size_t n = random() % 12; n-- > 0;) stream += pieces[random() % std::size(pieces)];
    std::vector<std::string> wanted;
    for (testing::ServerSentEvent& event : testing::read_events_strictly(stream)) wanted.push_back(event.data);
    ASSERT_EQ(events_of(stream, {random() % (stream.size() + 1)}), wanted) << ::testing::PrintToString(stream);
  }
}

TEST(ServeEvents, ChunksOfBothRoutes) {
  EXPECT_TRUE(read_chunk("[DONE]").done);
  EXPECT_TRUE(read_chunk(R"({"choices":[{"text":"a"}]})").has_text);
  EXPECT_TRUE(read_chunk(R"({"choices":[{"delta":{"content":"a"}}]})").has_text);
  EXPECT_FALSE(read_chunk(R"({"choices":[{"delta":{"role":"assistant","content":""}}]})").has_text);
  EXPECT_FALSE(read_chunk(R"({"choices":[{"text":"","finish_reason":"stop"}],"usage":null})").has_usage);
  const Chunk usage = read_chunk(R"({"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}})");
  EXPECT_TRUE(usage.has_usage && usage.prompt_tokens == 3 && usage.output_tokens == 4);
  EXPECT_EQ(read_chunk(R"({"error":{"message":"it broke","code":5}})").error, "it broke");
  for (const char* odd : {"", "{", "[]", "5", "null"}) EXPECT_FALSE(read_chunk(odd).error.empty()) << odd;
  for (const char* odd : {"{}", R"({"choices":5,"usage":[]})", R"({"choices":[5,{"delta":[]},{"text":[]}]})"})
    EXPECT_TRUE(read_chunk(odd).error.empty() && !read_chunk(odd).has_text) << odd;
}

TEST(ServeDrive, AClosedLoopKeepsItsClientsBusyAndCountsThemAll) {
  FakeServer server([](const auto& call, const auto& write) {
    std::this_thread::sleep_for(5ms);
    answer_whole(call, write);
  });
  const Drive run = drive(server.target(), {.load = {.clients = 4}, .requests = 21}, plain_requests(3));
  ASSERT_EQ(run.outcomes.size(), 21u);
  EXPECT_LE(server.most_open(), 4);
  EXPECT_GE(server.most_open(), 2);
  for (const Outcome& o : run.outcomes) {
    EXPECT_EQ(o.error, "");
    EXPECT_EQ(o.output_tokens, 3);
    EXPECT_EQ(o.prompt_tokens, 7);
    EXPECT_EQ(o.gaps.size(), 2u);
    EXPECT_LE(o.asked, o.first);
    EXPECT_LE(o.first, o.ended);
    EXPECT_LE(o.ended, run.seconds);
    EXPECT_GE(o.time_to_first(), 0.005);
  }
}

TEST(ServeDrive, AnOpenLoopDoesNotWaitForAnswersAndCountsFromWhenTheyWereDue) {
  FakeServer server([](const auto& call, const auto& write) {
    std::this_thread::sleep_for(300ms);
    answer_whole(call, write);
  });
  const Drive run = drive(server.target(), {.load = {.rate = 200}, .requests = 20, .seed = 3}, plain_requests(1));
  ASSERT_EQ(run.outcomes.size(), 20u);
  EXPECT_GE(server.most_open(), 10);  // 20 requests are due in about a tenth of a second
  std::set<double> due;
  for (const Outcome& o : run.outcomes) {
    EXPECT_EQ(o.error, "");
    EXPECT_GE(o.whole(), 0.3);
    due.insert(o.asked);
  }
  EXPECT_EQ(due.size(), 20u);
  EXPECT_EQ(*due.begin(), 0);
  EXPECT_LT(*due.rbegin(), 0.5);
}

TEST(ServeDrive, ADurationEndsTheRequestsNotTheAnswers) {
  FakeServer server([](const auto& call, const auto& write) {
    std::this_thread::sleep_for(20ms);
    answer_whole(call, write);
  });
  const Drive run = drive(server.target(), {.load = {.clients = 2}, .duration = 0.15}, plain_requests(1));
  EXPECT_GE(run.outcomes.size(), 2u);
  EXPECT_LE(run.outcomes.size(), 16u);
  for (const Outcome& o : run.outcomes) {
    EXPECT_LT(o.asked, 0.15);
    EXPECT_EQ(o.error, "");
  }
}

TEST(ServeDrive, ErrorsAreToldApart) {
  std::atomic<int> calls = 0;
  FakeServer server([&](const auto& call, const auto& write) {
    switch (calls++) {
      case 0:
        return write(whole(429, R"({"error":{"message":"the queue is full"}})"));
      case 1:
        return write(std::string(kStream) + "data: {\"choices\":[{\"text\":\"a\"}]}\n\n");
      case 2:
        return write(std::string(kStream) + "data: {\"error\":{\"message\":\"out of luck\"}}\n\n");
      case 3:
        return write(std::string(kStream) + "data: [DONE]\n\n");
      case 4:
        return;  // closes without a word
      case 5:
        return write(whole(502, "<html>bad gateway"));
      case 6:
        return write("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\ndata: ");
      case 7:
        std::this_thread::sleep_for(700ms);
        return;
      default:
        return answer_whole(call, write);
    }
  });
  const Drive run = drive(server.target(), {.load = {.clients = 1}, .requests = 9, .timeout = 0.4}, plain_requests(2));
  const Tally t = tally({run}, {});
  EXPECT_EQ(t.answered, 1);
  EXPECT_EQ(t.output_tokens, 2);
  EXPECT_EQ(t.errors.at("HTTP 429").detail, "the queue is full");
  EXPECT_EQ(t.errors.at("HTTP 502").detail, "<html>bad gateway");
  EXPECT_EQ(t.errors.at("a stream that ends without [DONE]").n, 1);
  EXPECT_EQ(t.errors.at("an error in the stream").detail, "out of luck");
  EXPECT_EQ(t.errors.at("an answer without text").n, 1);
  EXPECT_EQ(t.errors.at("Timeout was reached").n, 1);
  EXPECT_EQ(t.errors.size(), 8u);
}

TEST(ServeDrive, AServerThatIsNotThereFailsEveryRequest) {
  Target nobody{.name = "nobody", .root = "http://127.0.0.1:1", .model = "m", .api_key = ""};
  const Drive run = drive(nobody, {.load = {.clients = 2}, .requests = 4}, plain_requests(1));
  ASSERT_EQ(run.outcomes.size(), 4u);
  for (const Outcome& o : run.outcomes) EXPECT_FALSE(o.error.empty());
}

TEST(ServeWorkload, AMixIsSpreadEvenly) {
  const Workload w = workload_of_mix("512:128*3,8192:64");
  ASSERT_EQ(w.rows.size(), 4u);
  EXPECT_EQ(w.kinds, (std::vector<std::string>{"512 in, 128 out", "8192 in, 64 out"}));
  size_t longs = 0;
  for (const Row& row : w.rows) longs += row.prompt_tokens == 8192 ? 1 : 0;
  EXPECT_EQ(longs, 1u);
  EXPECT_EQ(workload_of_mix("1:1").rows.size(), 1u);
  for (const char* bad :
       {"", "1", "1:", ":1", "1:1*", "1:1,", "0:1", "1:0", "-1:1", "1:1*0", "1:1x", "1 :1", "99999999999999999999:1"})
    EXPECT_TRUE(contains(refusal([&] { workload_of_mix(bad); }), "--mix")) << bad;
}

TEST(ServeWorkload, LinesOfAFile) {
  const Workload w = workload_of_lines(
      "{\"prompt\": \"a\"}\r\n\n{\"prompt\": [1,2], \"max_tokens\": 3}\n{\"prompt_tokens\": 9}\n"
      "{\"messages\": [{\"role\":\"user\",\"content\":\"x\"}]}",
      "f", 5);
  ASSERT_EQ(w.rows.size(), 4u);
  EXPECT_EQ(w.rows[0].max_tokens, 5);
  EXPECT_EQ(w.rows[1].max_tokens, 3);
  EXPECT_EQ(w.rows[2].prompt_tokens, 9);
  for (const char* bad :
       {"", "{}", "[]", "{\"prompt\":5}", "{\"prompt\":\"a\",\"prompt_tokens\":2}", "{\"prompt_tokens\":0}",
        "{\"prompt\":\"a\",\"temprature\":1}", "{\"prompt\":\"a\",\"max_tokens\":-1}"})
    EXPECT_TRUE(contains(refusal([&] { workload_of_lines(bad, "f", 5); }), "f")) << bad;
}

TEST(ServeWorkload, PromptsShareTheirPrefixAndNothingElse) {
  std::vector<int32_t> ids(1000);
  std::iota(ids.begin(), ids.end(), 0);
  const PromptMaker maker(ids, 1);
  const json::array a = maker.make(64, 100, 0).as_array(), b = maker.make(64, 100, 1).as_array();
  ASSERT_EQ(a.size(), 164u);
  int same = 0;
  for (size_t i = 0; i < 164; ++i) {
    if (i < 64) {
      ASSERT_EQ(a[i], b[i]);
    } else if (a[i] == b[i]) {
      ++same;
    }
  }
  EXPECT_LT(same, 5);
  EXPECT_EQ(json::value(a), maker.make(64, 100, 0));
  EXPECT_NE(json::value(a), PromptMaker(ids, 2).make(64, 100, 0));
  const PromptMaker words(2.0, 1);
  const json::value text = words.make(10, 40, 5);
  const std::string_view s = text.as_string();
  EXPECT_EQ(std::count(s.begin(), s.end(), ' '), 24);
}

TEST(ServeWorkload, BodiesSayWhatIsAsked) {
  Workload w = workload_of_mix("8:2");
  w.parameters = {{"temperature", 1}, {"top_p", 0.5}};
  const PromptMaker maker(std::vector<int32_t>{5}, 1);
  const json::value body = parse_json(request_of(w, maker, "m", 0, 0).body, "a body");
  EXPECT_EQ(body.at("prompt").as_array().size(), 8u);
  EXPECT_EQ(body.at("temperature"), 1);
  EXPECT_EQ(body.at("ignore_eos"), true);
  EXPECT_EQ(body.at("stream_options").at("include_usage"), true);
  w.chat = true;
  EXPECT_TRUE(contains(refusal([&] { request_of(w, maker, "m", 0, 0); }), "--chat"));
  w.ignore_eos = false;
  const json::value chat = parse_json(request_of(w, PromptMaker(1.0, 1), "m", 0, 0).body, "a body");
  EXPECT_EQ(chat.at("messages").at(0).at("role"), "user");
  EXPECT_FALSE(chat.as_object().contains("ignore_eos"));
}

TEST(ServeBench, ServersTakeTurnsWithTheSamePromptsAndWarmUpIsLeftOut) {
  std::mutex mutex;
  std::vector<std::pair<int, std::string>> asked;
  const auto script = [&](int me) {
    return [&, me](const FakeServer::Call& call, const FakeServer::Write& write) {
      if (call.target == "/v1/models") return write(whole(200, R"({"data":[{"id":"listed"}]})"));
      if (call.target == "/tokenize") return write(whole(404, "{}"));
      if (!call.body.as_object().contains("stream")) return write(whole(200, R"({"usage":{"prompt_tokens":128}})"));
      EXPECT_EQ(call.body.at("model"), "listed");
      {
        const std::lock_guard lock(mutex);
        asked.emplace_back(me, std::string(call.body.at("prompt").as_string()));
      }
      std::this_thread::sleep_for(me * 20ms);
      answer_whole(call, write);
    };
  };
  FakeServer fast(script(0)), slow(script(1));
  ServeBenchOptions o;
  o.targets = {fast.target(), slow.target()};
  for (Target& t : o.targets) t.model.clear();
  o.targets[1].name = "slow";
  o.workload = workload_of_mix("20:3");
  o.loads = {{.clients = 1}};
  o.requests = 2;
  o.warmup = 1;
  o.rounds = 2;
  o.quiet = true;
  const ServeBenchReport report = run_serve_bench(o);
  ASSERT_EQ(asked.size(), 12u);  // two rounds of two servers, one request and two
  for (size_t i = 0; i < 12; ++i) EXPECT_EQ(asked[i].first, i / 3 % 2) << i;
  for (size_t i : {0, 1, 2, 6, 7, 8}) EXPECT_EQ(asked[i].second, asked[i + 3].second) << "a round has the same prompts";
  std::set<std::string> prompts;
  for (const auto& [who, prompt] : asked) prompts.insert(prompt);
  EXPECT_EQ(prompts.size(), 6u) << "each request has a prompt of its own";
  const json::value v = to_json(report);
  EXPECT_EQ(v.at("loads").at(0).at("servers").at(0).at("answered"), 4);
  EXPECT_EQ(v.at("loads").at(0).at("servers").at(0).at("output_tokens"), 12);
  EXPECT_EQ(v.at("servers").at(0).at("prompts"), "of words, 2.00 tokens each");
  EXPECT_GT(v.at("loads").at(0).at("times_better").at(0).at("output_tokens_per_second").at("min").to_number<double>(),
            1);
  EXPECT_TRUE(contains(to_table(report), "times better than slow"));
  EXPECT_TRUE(contains(draw_figure(serve_figure(report), ImageFormat::svg, {}), "<svg"));
}

TEST(ServeBench, AServerThatRefusesIsASentence) {
  FakeServer closed([](const auto&, const auto& write) { write(whole(401, R"({"error":{"message":"no key"}})")); });
  ServeBenchOptions o;
  o.targets = {closed.target()};
  o.targets[0].model.clear();
  EXPECT_TRUE(contains(refusal([&] { run_serve_bench(o); }), "/v1/models: HTTP 401: no key"));
  EXPECT_EQ(server_root("http://h:1/v1/"), "http://h:1");
  EXPECT_EQ(server_root("https://h/x//"), "https://h/x");
  EXPECT_TRUE(contains(refusal([&] { server_root("h:1"); }), "http://127.0.0.1:8080"));
}

}  // namespace
}  // namespace fathom::serve_bench
