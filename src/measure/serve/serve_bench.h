// A whole measurement of servers: loads one after the other, of each several rounds in which every server has its turn.
#pragma once
#include <string>
#include <vector>

#include "base/json/json.h"
#include "measure/serve/drive.h"
#include "measure/serve/tally.h"
#include "measure/serve/workload.h"
#include "plot/figure.h"

namespace fathom::serve_bench {

struct ServeBenchOptions {
  std::vector<Target> targets;  // an empty model: the first that the server lists
  Workload workload;
  std::vector<Load> loads;
  int64_t requests =
      0;  // of each run; 0: four for each client, 32 of an open loop, or as many as `duration` has room for
  double duration = 0;  // seconds in which requests begin; 0: no such bound
  int64_t warmup =
      -1;  // requests in front of each run that are left out; below 0: one for each client, two of an open loop
  int rounds = 1;
  double timeout = 0;  // of a request, in seconds; 0: none
  uint64_t seed = 0;   // of prompts and arrivals; each round has prompts of its own, the same for every server
  GoodLimits limits;
  bool quiet = false;  // no line on stderr for each run
};

struct LoadRuns {
  Load load;
  std::vector<std::vector<Drive>> drives;  // of each target, of each round
};

struct ServeBenchReport {
  std::vector<Target> targets;
  std::vector<std::string> prompts;  // of each target, how they were made
  std::vector<std::string> kinds;
  int64_t shared_prefix = 0;
  bool chat = false;
  uint64_t seed = 0;
  GoodLimits limits;
  std::vector<LoadRuns> loads;
};

// bad_input or resource Error when a server does not answer a first request, with its words; what goes wrong later is
// counted.
ServeBenchReport run_serve_bench(const ServeBenchOptions& options);

json::value to_json(const ServeBenchReport& report);
std::string to_table(const ServeBenchReport& report);

// Against the loads where there are several; else how the figures are distributed.
Figure serve_figure(const ServeBenchReport& report);

// "http://host:8080/v1/" -> "http://host:8080". bad_input where it is no http or https URL.
std::string server_root(const std::string& url);

}  // namespace fathom::serve_bench
