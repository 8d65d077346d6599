// One HTTP request and the side that answers it. Nothing here knows of sockets: a test can implement Exchange itself.
#pragma once
#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fathom::http {

// What a route asks of its caller. Where no keys are set, `key` asks nothing, and `admin` that the server is reachable
// from this machine alone (it listens on loopback or on a Unix socket).
enum class Access : uint8_t {
  open,   // anybody, also while the server drains
  key,    // any API key
  admin,  // an API key marked `admin`
};

using Headers = std::vector<std::pair<std::string, std::string>>;

struct Request {
  std::string id;      // X-Request-Id when it is [A-Za-z0-9._-]{1,64}, else made; the answer returns it
  std::string method;  // as sent: "GET", "POST", ...; HEAD arrives at the handlers of GET
  std::string target;  // as sent: "/v1/models/a%2Fb?x=1"
  std::string path;  // percent-decoded, without the query: valid UTF-8, no control characters, no "." and ".." segments
  std::vector<std::pair<std::string, std::string>> query;  // percent-decoded, '+' as a space, in order
  Headers headers;                                         // names in lower case, in order
  std::string body;
  std::string peer;      // "127.0.0.1:50312", "[::1]:50312", "unix"
  std::string key_name;  // of the API key; empty when no keys are set, or none was needed and none sent
  std::map<std::string, std::string> path_parameters;  // of the route's pattern, percent-decoded

  // The first header of that name, in any case; empty when there is none.
  std::string_view header(std::string_view name) const noexcept;
  // The first query parameter of that name; null when there is none.
  const std::string* query_parameter(std::string_view name) const noexcept;
};

// Headers that the server writes itself (Content-Length, Transfer-Encoding, Connection, Date, Server, X-Request-Id,
// X-Content-Type-Options) are
// passed over, and so is a header whose name or value may not stand in one: nothing in a value can begin another
// header or another answer.
struct Reply {
  int status = 200;
  std::string content_type = "application/json";  // empty: none
  Headers headers = {};
  std::string body = {};
};

// The answering side of one request: either reply(), or start(), any number of write(), and end(). Every function may
// be called from any thread, returns at once and throws nothing; after the answer is complete or the client is gone
// they do nothing. When the last reference goes away before the answer is complete, the client gets a 500, or sees its
// stream cut.
class Exchange {
 public:
  virtual ~Exchange() = default;

  // The whole answer. Its size is not bounded.
  virtual void reply(Reply reply) noexcept = 0;

  // A stream of unknown length: its head is sent at once. Unless `headers` say otherwise it has `Cache-Control:
  // no-store` and `X-Accel-Buffering: no` (a proxy must not collect it).
  virtual void start(int status, std::string content_type, Headers headers) noexcept = 0;
  // Bytes that wait for a slow reader are bounded by Limits::write_bytes: a write beyond it drops the connection. A
  // chunk may be larger when no other waits.
  virtual void write(std::string chunk) noexcept = 0;
  virtual void end() noexcept = 0;
  // From start() to end(), `bytes` are written whenever nothing else was for `interval`. An interval of 0: never.
  virtual void keep_alive(std::chrono::milliseconds interval, std::string bytes) noexcept = 0;

  // The client left or was dropped before the answer was complete. A client that closed only its sending side (FIN)
  // counts as one that left: TCP does not tell the two apart before something is sent.
  virtual bool gone() const noexcept = 0;
  // Called at most once, when that happens: on the I/O thread, which it must not block, or at once where it already
  // has. Takes the place of one given before.
  virtual void on_gone(std::function<void()> callback) noexcept = 0;
};

// Runs on one of Options::threads; what takes long is handed on together with the exchange. An exception becomes a 500
// with a generic text, and a line in the log.
using Handler = std::function<void(Request, std::shared_ptr<Exchange>)>;

}  // namespace fathom::http
