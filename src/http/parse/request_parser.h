// HTTP/1.0 and HTTP/1.1 requests from bytes as they arrive (Boost.Beast does the parsing), under limits of our own.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "http/exchange.h"

namespace fathom::http {

struct RequestLimits {
  size_t target_bytes = 8 << 10;
  size_t header_bytes = 32 << 10;  // the request line and all headers; also a chunk's extension, and trailers
  size_t header_count = 100;
};

struct RequestHead {
  std::string method, target;
  Headers headers;  // names in lower case
  bool http_1_1 = true;
  bool keep_alive = true;
  bool chunked = false;
  uint64_t content_length = 0;  // 0 when chunked or without a body

  bool has_body() const noexcept { return chunked || content_length > 0; }
  size_t count(std::string_view lower_case_name) const noexcept;
  std::string_view header(std::string_view lower_case_name) const noexcept;
};

// Stricter than RFC 9112 asks where a proxy in front may read the same bytes otherwise: both Content-Length and
// Transfer-Encoding, more than one of either, a length that is not digits alone, another transfer coding than chunked,
// chunked in HTTP/1.0 are errors. Trailers are passed over.
class RequestParser {
 public:
  explicit RequestParser(const RequestLimits& limits);
  ~RequestParser();
  RequestParser(RequestParser&&) noexcept;
  RequestParser& operator=(RequestParser&&) noexcept;

  enum class State : uint8_t {
    head,       // needs more bytes
    head_done,  // head() is complete; accept_body() decides about the rest
    body,       // needs more bytes
    done,       // body() is complete
    bad,        // refused: status() and reason()
  };
  State state() const noexcept;

  // Takes bytes off the front of the input and returns how many; those that it leaves must be given again with more
  // behind them. Takes nothing in head_done, done and bad, and nothing beyond the request.
  size_t feed(std::string_view input);

  // Goes on from head_done. A body of more than `max_bytes` becomes bad, with 413: at once when its length is known.
  void accept_body(uint64_t max_bytes);

  RequestHead& head() noexcept;  // from head_done on; before it, what was read so far
  std::string take_body() noexcept;

  int status() const noexcept;  // 400, 413, 414, 431
  const char* reason() const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fathom::http
