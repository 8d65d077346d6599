// GET requests over HTTP, several at a time from one thread. The only file of this layer that knows libcurl.
//
// Redirects are followed (at most eight; from https to https alone). The token goes to the host and port that a request
// names and to no other that it is sent on to. Proxies are those of the environment (https_proxy, all_proxy, no_proxy).
#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace fathom::curl {
class Transfers;
}

namespace fathom::hub {

struct HttpGet {
  std::string url = {};
  std::string token = {};                                   // empty: none
  std::optional<std::pair<uint64_t, uint64_t>> range = {};  // first and last byte
};

// Of the last answer, behind all redirects.
struct HttpHead {
  long status = 0;  // 0: there is none
  std::string etag = {}, content_range = {};
  std::string error_code = {}, error_message = {};  // X-Error-Code and X-Error-Message of the hub
  std::optional<uint64_t> retry_after = {};         // seconds
  std::string origin = {};                          // who answered (origin_of)
};

struct HttpEnd {
  HttpHead head;
  enum class Kind : uint8_t {
    whole,       // there is a whole answer, of whatever status
    stopped,     // on_bytes said so
    broken,      // the network failed: another try may do better
    unreachable  // and one that will fail again: no such host, a refused certificate, redirects without end
  } kind = Kind::whole;
  std::string error = {};  // why, in libcurl's words
};

class HttpSession {
 public:
  // Seconds in which a connection must be made, and in which at least a byte must come.
  struct Limits {
    long connect = 20, silence = 60;
  };
  explicit HttpSession(Limits limits);
  ~HttpSession();
  HttpSession(const HttpSession&) = delete;
  HttpSession& operator=(const HttpSession&) = delete;

  // Of the body, as it comes; false ends the request.
  using OnBytes = std::function<bool(const HttpHead& head, std::string_view bytes)>;
  using OnEnd = std::function<void(const HttpEnd& end)>;
  void start(const HttpGet& request, OnBytes on_bytes, OnEnd on_end);
  size_t running() const noexcept;
  // Waits at most so long for something to do, and does it: the functions are called from here, and what they throw
  // comes out of here.
  void step(double seconds);

 private:
  Limits limits_;
  std::unique_ptr<curl::Transfers> transfers_;
};

}  // namespace fathom::hub
