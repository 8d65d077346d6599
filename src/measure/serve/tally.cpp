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

namespace {

// The kind of the longest prompt that was answered; none where all requests are of one kind.
std::optional<size_t> kind_of_longest_prompts(const std::vector<Drive>& drives) {
  const Outcome* longest = nullptr;
  bool several = false;
  for (const Drive& drive : drives)
    for (const Outcome& o : drive.outcomes) {
      if (!o.error.empty()) continue;
      several = several || (longest != nullptr && longest->kind != o.kind);
      if (longest == nullptr || o.prompt_tokens > longest->prompt_tokens) longest = &o;
    }
  return several ? std::optional(longest->kind) : std::nullopt;
}

// Appends those of the gaps of `o` that lie in part between `asked` and `first` of a request of that kind.
void append_gaps_beside(const Outcome& o, const Drive& drive, size_t longest, std::vector<double>& out) {
  double begin = o.first;
  for (const double gap : o.gaps) {
    const double end = begin + gap;
    if (std::any_of(drive.outcomes.begin(), drive.outcomes.end(), [&](const Outcome& other) {
          return other.kind == longest && other.error.empty() && begin < other.first && end > other.asked;
        }))
      out.push_back(gap);
    begin = end;
  }
}

}  // namespace

Tally tally(const std::vector<Drive>& drives, const GoodLimits& limits, std::optional<size_t> kind) {
  Tally t;
  const std::optional<size_t> longest = kind_of_longest_prompts(drives);
  std::vector<double> first, gap, beside, whole;
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
      if (longest && o.kind != *longest) append_gaps_beside(o, drive, *longest, beside);
    }
  }
  t.first = percentiles(std::move(first));
  t.gap = percentiles(std::move(gap));
  t.gap_beside_prompt = percentiles(std::move(beside));
  t.whole = percentiles(std::move(whole));
  return t;
}

}  // namespace fathom::serve_bench
