// What a server is told, and every limit that it keeps. docs/serving-http.md has them in a table.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "http/parse/request_parser.h"

namespace fathom::http {

struct Limits {
  RequestLimits request;
  uint64_t body_bytes = 32 << 20;
  size_t connections = 4096;          // one more closes the oldest that has no request; 503 where there is none
  size_t write_bytes = 4 << 20;       // of a stream that wait for a slow reader
  size_t pipelined_bytes = 64 << 10;  // read ahead while a request is answered
  std::chrono::milliseconds head_time{10'000};      // TLS handshake; then from the first byte to the end of the headers
  std::chrono::milliseconds request_time{120'000};  // from the first byte to the end of the body
  std::chrono::milliseconds idle_time{75'000};      // between two requests of a connection
  std::chrono::milliseconds write_time{30'000};     // for a write, and a second more for every 8 KiB of it
  std::chrono::milliseconds linger_time{2'000};     // for the client to read an answer after which we close
};

struct Options {
  std::string address = "127.0.0.1";  // an IPv4 or IPv6 address, "localhost", or "unix:/path"
  int port = 0;                       // 0: any that is free
  int threads = 2;                    // for handlers, beside one for all I/O
  Limits limits;
  std::string keys_file;                 // empty: no keys are set (keys.h)
  std::string tls_certificate, tls_key;  // PEM files, the certificate with its chain; both or none
  std::vector<std::string> hosts;        // answered besides those of host_allowed (parse/authority.h); "*": any
  std::vector<std::string> origins;      // whose pages may ask: "https://app.example"; "*": any
  int retry_after = 5;                   // seconds, told to whom is answered 503 while the server drains
};

// An Error for what cannot work: a limit of 0, one TLS file without the other, TLS on a Unix socket.
void check_options(const Options& options);

}  // namespace fathom::http
