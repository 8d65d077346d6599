#include "measure/serve/tally.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace fathom::serve_bench {

Percentiles percentiles(std::vector<double> values) {
  if (values.empty()) return {};
  std::sort(values.begin(), values.end());
  const auto n = static_cast<double>(values.size());
  const auto rank = [&](double percent) {
    return values[static_cast<size_t>(std::max(std::ceil(percent * n / 100), 1.0)) - 1];
  };
  return {.p50 = rank(50),
          .p90 = rank(90),
          .p99 = rank(99),
          .mean = std::accumulate(values.begin(), values.end(), 0.0) / n,
          .most = values.back(),
          .n = static_cast<int64_t>(values.size())};
}

bool is_good(const Outcome& o, const GoodLimits& limits) {
  return o.error.empty() && (limits.first_seconds <= 0 || o.time_to_first() <= limits.first_seconds) &&
         (limits.token_seconds <= 0 || o.per_token() <= limits.token_seconds);
}

Tally tally(const std::vector<Drive>& drives, const GoodLimits& limits, std::optional<size_t> kind) {
  Tally t;
  std::vector<double> first, gap, whole;
  for (const Drive& drive : drives) {
    t.seconds += drive.seconds;
    for (const Outcome& o : drive.outcomes) {
      if (kind && o.kind != *kind) continue;
      ++t.requests;
      if (!o.error.empty()) {
        ErrorCount& error = t.errors[o.error];
        if (error.n++ == 0) error.detail = o.detail;
        continue;
      }
      ++t.answered;
      t.good += is_good(o, limits) ? 1 : 0;
      t.prompt_tokens += o.prompt_tokens;
      t.output_tokens += o.output_tokens;
      first.push_back(o.time_to_first());
      whole.push_back(o.whole());
      gap.insert(gap.end(), o.gaps.begin(), o.gaps.end());
    }
  }
  t.first = percentiles(std::move(first));
  t.gap = percentiles(std::move(gap));
  t.whole = percentiles(std::move(whole));
  return t;
}

}  // namespace fathom::serve_bench
