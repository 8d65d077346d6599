#include "engine/speculation/speculation_cost.h"

#include <algorithm>

#include "base/error.h"

namespace fathom {
namespace {

constexpr double kPrior = 0.5;         // of a draft of which nothing is known, weighing as much as one seen
constexpr double kKeepSeen = 0.92;     // an average over about 12 drafts
constexpr double kKeepUnseen = 0.995;  // a kind that is given up is tried again after some 50 to 100 steps
constexpr double kLeastGain = 1.05;    // below it noise decides

}  // namespace

void RecentMedian::record(double value, int64_t step) noexcept {
  seen_[static_cast<size_t>(n_seen_++) % seen_.size()] = {value, step};
}

std::optional<double> RecentMedian::median(int64_t step, int64_t least) const noexcept {
  std::array<double, std::tuple_size_v<decltype(seen_)>> values;
  size_t n = 0;
  for (size_t i = 0; i < std::min(static_cast<size_t>(n_seen_), seen_.size()); ++i)
    if (step - seen_[i].step < kMemory) values[n++] = seen_[i].value;
  if (n == 0 || static_cast<int64_t>(n) < least) return std::nullopt;
  const auto middle = values.begin() + static_cast<ptrdiff_t>((n - 1) / 2);
  std::nth_element(values.begin(), middle, values.begin() + static_cast<ptrdiff_t>(n));
  return *middle;
}

void StepTimes::record(int64_t rows, double seconds) noexcept {
  check(rows >= 1, "a step has rows");
  if (rows <= kMostTimedRows) by_rows_[static_cast<size_t>(rows)].record(seconds, n_steps_);
  ++n_steps_;
}

std::optional<double> StepTimes::seconds(int64_t rows) const noexcept {
  if (rows > kMostTimedRows) return std::nullopt;
  if (const auto own = measured(rows)) return own;
  int64_t below = rows - 1, above = rows + 1, smallest = 1;
  while (below > 0 && !measured(below)) --below;
  if (below == 0) return std::nullopt;
  while (above <= kMostTimedRows && !measured(above)) ++above;
  const double from = *measured(below);
  if (above <= kMostTimedRows)
    return from + (*measured(above) - from) * static_cast<double>(rows - below) / static_cast<double>(above - below);
  while (!measured(smallest)) ++smallest;
  if (smallest == below) return from;
  const double slope = (from - *measured(smallest)) / static_cast<double>(below - smallest);
  return from + std::max(0.0, slope) * static_cast<double>(rows - below);
}

int64_t StepTimes::most_rows() const noexcept {
  int64_t rows = kMostTimedRows;
  while (rows > 1 && !measured(rows)) --rows;
  return std::min(kMostTimedRows, 2 * rows);
}

void Acceptance::record(int64_t n_accepted, bool then_rejected) noexcept {
  const int64_t n = n_accepted + (then_rejected ? 1 : 0);
  check(n_accepted >= 0 && n <= kMaxDraft, "at most kMaxDraft of a draft are watched");
  const double keep = n > 0 ? kKeepSeen : kKeepUnseen;
  for (int64_t j = 1; j <= kMaxDraft; ++j) {
    Position& p = positions_[static_cast<size_t>(j)];
    p.right = keep * p.right + (j <= n_accepted ? 1 : 0);
    p.seen = keep * p.seen + (j <= n ? 1 : 0);
  }
}

double Acceptance::rate(int64_t j) const noexcept {
  double rate = kPrior;
  for (int64_t i = 1; i <= j; ++i) {
    const Position& p = positions_[static_cast<size_t>(i)];
    rate = (rate + p.right) / (1 + p.seen);
  }
  return rate;
}

DraftLength best_count(const StepTimes& times, const Acceptance& acceptance, double seconds_per_draft, int64_t most,
                       int64_t rows_beside) noexcept {
  const int64_t rows = 1 + rows_beside;
  const auto plain = times.seconds(rows);
  if (!plain) return {};
  double tokens = static_cast<double>(rows), all_right = 1;
  DraftLength best{.n = 0, .tokens_per_second = tokens / *plain};
  double least = kLeastGain * best.tokens_per_second;
  for (int64_t k = 1; k <= std::min(most, times.most_rows() - rows); ++k) {
    tokens += all_right *= acceptance.rate(k);
    const double rate = tokens / (*times.seconds(rows + k) + static_cast<double>(k) * seconds_per_draft);
    if (rate <= least) continue;
    best = {k, rate};
    least = rate;
  }
  return best;
}

}  // namespace fathom
