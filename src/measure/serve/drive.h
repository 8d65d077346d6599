// Sends a load to a server and times every piece of text that comes back.
#pragma once
#include <functional>
#include <string>

#include "measure/serve/load.h"

namespace fathom::serve_bench {

struct Target {
  std::string name;     // in tables
  std::string root;     // "http://127.0.0.1:8080", without /v1
  std::string model;    // as the server calls it
  std::string api_key;  // empty: none
};

struct DriveOptions {
  Load load;
  int64_t requests = 0;  // at most so many; 0: until `duration` is over
  double duration = 0;   // seconds in which requests begin; 0: no such bound. One of the two is given.
  uint64_t seed = 0;     // of the arrivals
  double timeout = 0;    // of a request; 0: none
  bool chat = false;     // /v1/chat/completions, else /v1/completions
};

// Runs until the last request has ended. request_of(i) is asked once for each i from 0 on, just before it is sent. A
// request that fails is an outcome; its client waits a tenth of a second before it asks again, so that a server that is
// gone is not asked a million times.
Drive drive(const Target& target, const DriveOptions& options, const std::function<Request(int64_t)>& request_of);

}  // namespace fathom::serve_bench
