// What a load generator asks of a server, and what it saw of each request.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

namespace fathom::serve_bench {

// A closed loop: so many clients, each of which asks again when it was answered. Or an open one: requests arrive at
// `rate` a second whatever the server does, the time between two of them drawn from an exponential distribution.
struct Load {
  int64_t clients = 0;  // 0: open
  double rate = 0;

  bool closed() const noexcept { return clients > 0; }
  double x() const noexcept { return closed() ? static_cast<double>(clients) : rate; }
};
std::string describe(const Load& load);  // "8 clients", "2.5 requests/s"

struct Request {
  size_t kind = 0;  // of the workload's kinds
  std::string body;
};

// Times are seconds since the run began. `asked` of an open loop is when the request was due: what the generator itself
// was late counts as waiting, or a slow server would look better the more it is overrun.
struct Outcome {
  size_t kind = 0;
  double asked = 0, first = 0, ended = 0;  // first: of the first text; 0: none came
  std::vector<double> gaps = {};           // between one piece of text and the next
  int64_t prompt_tokens = 0;               // as the server counts; 0: it does not say
  int64_t output_tokens = 0;               // as the server counts, else the pieces of text
  std::string error = {};                  // its kind, such as "HTTP 429"; empty: answered to the end
  std::string detail = {};                 // what the server said of it

  double time_to_first() const noexcept { return first - asked; }
  double whole() const noexcept { return ended - asked; }
  // Mean over the tokens behind the first one; 0 when there is one only.
  double per_token() const noexcept {
    return output_tokens > 1 ? (ended - first) / static_cast<double>(output_tokens - 1) : 0;
  }
};

// One run of one load.
struct Drive {
  std::vector<Outcome> outcomes;  // in the order of their ends
  double seconds = 0;             // from the first request to the last end
};

}  // namespace fathom::serve_bench
