// An HTTP/1.1 server for programs that answer slowly and in streams: it reads requests, checks who may ask what, keeps
// every limit of options.h, and hands each request with its Exchange to the handler of its route. It knows nothing of
// what is answered. Contract for clients: docs/serving-http.md.
//
// All I/O is asynchronous, on one thread; handlers run on `threads` others. A connection costs a few KiB, no thread.
// While a handler's work is under way its connection is watched, so that a client that leaves is noticed at once.
//
// Memory that runs out closes the connection that needed it, and no other.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "http/log.h"
#include "http/options.h"
#include "http/router.h"

namespace fathom::http {

struct ServerCounts {
  uint64_t connections_open = 0;                // gauges
  uint64_t requests_running = 0;                // handed to a handler and not answered to the end
  uint64_t connections_accepted = 0;            // all below: since the start
  uint64_t connections_refused = 0;             // with 503, for Limits::connections
  uint64_t connections_evicted = 0;             // closed without a request, to make room
  uint64_t accept_errors = 0;                   // EMFILE and its like
  uint64_t timeouts = 0;                        // requests that did not arrive in time, handshakes included
  uint64_t clients_gone = 0;                    // left before their answer was complete
  uint64_t clients_dropped = 0;                 // read too slowly
  uint64_t bytes_received = 0, bytes_sent = 0;  // within TLS
  struct Answered {
    std::string method, pattern;  // of the route; both empty: no route (404, 405, 400, ...)
    int status = 0;               // 499: the client left
    uint64_t count = 0;
  };
  std::vector<Answered> answered;
};

class Server {
 public:
  // Reads keys and certificate and listens; clients that connect wait for start(). Throws a one-line Error when an
  // option is wrong, a file cannot be used, the address is taken, or the port needs a privilege. Raises the process's
  // soft limit of open files towards what Limits::connections needs, and lowers that limit to what the system grants.
  Server(Options options, Router router, Log log = {});
  ~Server();  // stop()

  int port() const noexcept;    // 0 for a Unix socket
  std::string address() const;  // "http://127.0.0.1:8080", "https://[::1]:8443", "unix:/run/fathom.sock"
  void start();
  // From now on new requests get 503 and Retry-After, on all routes but those of Access::open; requests under way go
  // on.
  void drain() noexcept;
  // Closes every connection and the listening socket, and waits for the server's threads: not to be called on one of
  // them. Callbacks of on_gone have returned when it does. Exchanges may outlive it; they then do nothing.
  void stop() noexcept;

  // Reads keys file, certificate and TLS key again. For requests, and for TLS for connections, that begin afterwards.
  // An Error leaves the old ones in use.
  void reload_keys();

  ServerCounts counts() const;
  const Router& router() const noexcept;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fathom::http
