// HTTP requests, many at a time from one thread.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace fathom::curl {
class Transfers;
}

namespace fathom::serve_bench {

struct HttpRequest {
  std::string url = {};
  std::string body = {};     // empty: GET; else POST of JSON
  std::string api_key = {};  // empty: none is sent
  double timeout = 0;        // seconds for all of it; 0: none
};

struct HttpEnd {
  long status = 0;    // 0: no answer
  std::string error;  // why there is no whole answer: libcurl's words; empty: there is one
};

// Connections are kept and used again. No proxy is used, whatever the environment says: a load goes where it is sent.
// Not thread-safe.
class HttpClient {
 public:
  HttpClient();
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  using OnBytes = std::function<void(std::string_view bytes)>;  // of the body, as they come
  using OnEnd = std::function<void(const HttpEnd& end)>;
  void start(HttpRequest request, OnBytes on_bytes, OnEnd on_end);
  size_t running() const noexcept;
  // Waits at most so long (to the millisecond) for something to do, and does it: the functions are called from here.
  void step(double seconds);

 private:
  std::unique_ptr<curl::Transfers> transfers_;
};

struct HttpAnswer {
  long status = 0;
  std::string body, error;
};
// One request, waited for.
HttpAnswer fetch(HttpRequest request);

}  // namespace fathom::serve_bench
