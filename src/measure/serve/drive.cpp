#include "measure/serve/drive.h"

#include <sys/resource.h>

#include <chrono>
#include <cmath>
#include <functional>
#include <memory>
#include <queue>

#include "base/error.h"
#include "base/random.h"
#include "measure/serve/event_reader.h"
#include "measure/serve/http_client.h"

namespace fathom::serve_bench {
namespace {

using Clock = std::chrono::steady_clock;
constexpr double kPauseAfterError = 0.1;  // seconds
constexpr size_t kMostDetail = 4096;      // bytes of an answer that is no stream

// A request under way: turns bytes into times.
class Watched {
 public:
  Watched(Clock::time_point begin, size_t kind, double asked) : begin_(begin) {
    outcome_.kind = kind;
    outcome_.asked = asked;
  }

  void take(std::string_view bytes) {
    if (head_.size() < kMostDetail) head_.append(bytes.substr(0, kMostDetail - head_.size()));
    events_.read(bytes, [this](std::string_view data) { take_event(data); });
  }

  Outcome end(const HttpEnd& end) {
    outcome_.ended = now();
    if (end.error.empty() && end.status == 200 && outcome_.error.empty() && done_ && outcome_.first > 0) {
      if (outcome_.output_tokens == 0) outcome_.output_tokens = pieces_;
      return std::move(outcome_);
    }
    if (!outcome_.error.empty()) return std::move(outcome_);
    if (!end.error.empty()) {
      outcome_.error = end.error;
    } else if (end.status != 200) {
      outcome_.error = fmt::format("HTTP {}", end.status);
      outcome_.detail = refusal_words(head_);
    } else {
      outcome_.error = done_ ? "an answer without text" : "a stream that ends without [DONE]";
    }
    return std::move(outcome_);
  }

 private:
  double now() const { return std::chrono::duration<double>(Clock::now() - begin_).count(); }

  void take_event(std::string_view data) {
    const Chunk chunk = read_chunk(data);
    if (!chunk.error.empty() && outcome_.error.empty()) {
      outcome_.error = "an error in the stream";
      outcome_.detail = chunk.error;
    }
    done_ |= chunk.done;
    if (chunk.has_usage) {
      outcome_.prompt_tokens = chunk.prompt_tokens;
      outcome_.output_tokens = chunk.output_tokens;
    }
    if (!chunk.has_text) return;
    const double time = now();
    if (pieces_++ == 0)
      outcome_.first = time;
    else
      outcome_.gaps.push_back(time - last_);
    last_ = time;
  }

  Clock::time_point begin_;
  Outcome outcome_;
  EventReader events_;
  std::string head_;
  bool done_ = false;
  int64_t pieces_ = 0;
  double last_ = 0;
};

class Driver {
 public:
  Driver(const Target& target, const DriveOptions& options, const std::function<Request(int64_t)>& request_of)
      : target_(target), options_(options), request_of_(request_of) {}

  Drive run() {
    begin_ = Clock::now();
    if (options_.load.closed())
      for (int64_t i = 0; i < options_.load.clients; ++i) due_.push(0);
    else
      due_.push(0);
    for (;;) {
      while (!due_.empty() && due_.top() <= now()) start_one();
      if (due_.empty() && client_.running() == 0) break;
      client_.step(due_.empty() ? 60 : due_.top() - now());
    }
    return std::move(drive_);
  }

 private:
  double now() const { return std::chrono::duration<double>(Clock::now() - begin_).count(); }

  bool is_over(double time) const {
    return (options_.requests > 0 && started_ >= options_.requests) ||
           (options_.duration > 0 && time >= options_.duration);
  }

  void start_one() {
    const double due = due_.top();
    due_.pop();
    if (is_over(due)) return;
    const int64_t i = started_++;
    Request request = request_of_(i);
    const double asked = options_.load.closed() ? now() : due;
    const auto watched = std::make_shared<Watched>(begin_, request.kind, asked);
    client_.start(
        {.url = target_.root + (options_.chat ? "/v1/chat/completions" : "/v1/completions"),
         .body = std::move(request.body),
         .api_key = target_.api_key,
         .timeout = options_.timeout},
        [watched](std::string_view bytes) { watched->take(bytes); },
        [this, watched](const HttpEnd& end) { finish(watched->end(end)); });
    if (!options_.load.closed())
      due_.push(due - std::log1p(-uniform01(options_.seed, 1, static_cast<uint64_t>(i))) / options_.load.rate);
  }

  void finish(Outcome outcome) {
    drive_.seconds = outcome.ended;
    if (options_.load.closed()) due_.push(now() + (outcome.error.empty() ? 0 : kPauseAfterError));
    drive_.outcomes.push_back(std::move(outcome));
  }

  const Target& target_;
  const DriveOptions& options_;
  const std::function<Request(int64_t)>& request_of_;
  Clock::time_point begin_;
  std::priority_queue<double, std::vector<double>, std::greater<>> due_;  // when requests begin
  int64_t started_ = 0;
  Drive drive_;
  HttpClient client_;
};

// A connection needs a descriptor: as many as this process may have.
void allow_many_connections() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

std::string describe(const Load& load) {
  if (load.closed()) return fmt::format("{} client{}", load.clients, load.clients == 1 ? "" : "s");
  return fmt::format("{:g} requests/s", load.rate);
}

Drive drive(const Target& target, const DriveOptions& options, const std::function<Request(int64_t)>& request_of) {
  check(options.load.clients > 0 || options.load.rate > 0, "a load asks for something");
  check(options.requests > 0 || options.duration > 0, "a load ends");
  allow_many_connections();
  return Driver(target, options, request_of).run();
}

}  // namespace fathom::serve_bench
