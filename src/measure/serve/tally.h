// Figures of what a load generator saw.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "measure/serve/load.h"

namespace fathom::serve_bench {

// Of n values; pK is the least of them that K percent are not above (the "nearest rank"). All 0 where there is none.
struct Percentiles {
  double p50 = 0, p90 = 0, p99 = 0, mean = 0, most = 0;
  int64_t n = 0;
};
Percentiles percentiles(std::vector<double> values);

// A request is good when it was answered, its first text came in time, and its mean time between two tokens is within
// the limit. 0: no such limit.
struct GoodLimits {
  double first_seconds = 0, token_seconds = 0;
};
bool is_good(const Outcome& outcome, const GoodLimits& limits);

struct ErrorCount {
  int64_t n = 0;
  std::string detail;  // of the first one
};

// Seconds throughout. Rates are of the whole run, from its first request to its last end.
struct Tally {
  int64_t requests = 0, answered = 0, good = 0;
  int64_t prompt_tokens = 0, output_tokens = 0;  // of those that were answered
  double seconds = 0;                            // of the run
  Percentiles first, gap, whole;                 // to the first text; between two pieces of text; of whole requests
  // Where requests have several kinds: of `gap`, what lies at least in part in a time in which a request of the kind
  // with the longest prompts waited for its first text. Not of such requests themselves.
  Percentiles gap_beside_prompt;
  std::map<std::string, ErrorCount> errors;

  double output_rate() const noexcept { return rate(output_tokens); }
  double request_rate() const noexcept { return rate(answered); }
  double good_rate() const noexcept { return rate(good); }

 private:
  double rate(int64_t n) const noexcept { return seconds > 0 ? static_cast<double>(n) / seconds : 0; }
};

// Of all runs together, or of the requests of one kind in them.
Tally tally(const std::vector<Drive>& drives, const GoodLimits& limits, std::optional<size_t> kind = {});

}  // namespace fathom::serve_bench
