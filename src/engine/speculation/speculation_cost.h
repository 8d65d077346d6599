// How many drafted tokens a step should verify: as many as give the most tokens per second, by the measured times of
// steps and the measured rates of acceptance. With k drafted tokens, a_j the rate at which token j is accepted when
// those before it are, b the rows of other sequences in the step, t(r) the seconds of a step of r rows, and d the
// seconds of drafting one token:
//     tokens(k) = b + 1 + sum_{j = 1 .. k} a_1 a_2 ... a_j,     seconds(k) = t(b + 1 + k) + k d
// Nothing here reads a clock or throws. Times are kept for the last kMemory steps, so that a longer context, a busier
// machine or an unlucky measurement are seen in time; an estimate of what is not known yet is such that it is tried.
#pragma once
#include <array>
#include <cstdint>
#include <optional>

namespace fathom {

inline constexpr int64_t kMaxDraft = 8;
inline constexpr int64_t kMemory = 256;        // steps
inline constexpr int64_t kMostTimedRows = 64;  // of a step; drafts do not make one longer

// The lower median of the latest values, of those the ones seen in the last kMemory steps.
class RecentMedian {
 public:
  void record(double value, int64_t step) noexcept;
  // nullopt when fewer than `least` are left: a first value is often that of cold memory.
  std::optional<double> median(int64_t step, int64_t least) const noexcept;

 private:
  struct Seen {
    double value = 0;
    int64_t step = 0;
  };
  std::array<Seen, 7> seen_ = {};  // a ring
  int64_t n_seen_ = 0;
};

// Seconds of a step by its rows, 1 .. kMostTimedRows; what is told of longer ones is not kept.
class StepTimes {
 public:
  void record(int64_t rows, double seconds) noexcept;
  int64_t n_steps() const noexcept { return n_steps_; }

  // Rows measured twice: their median. Else on the line between the measured numbers of rows around them; beyond the
  // largest, on the line from the smallest through it, which is flat when there is but one. nullopt below the smallest.
  std::optional<double> seconds(int64_t rows) const noexcept;
  // The most rows that are worth trying: twice the most that were measured, so that a machine or model that gains
  // nothing from a second row never pays for nine.
  int64_t most_rows() const noexcept;

 private:
  std::optional<double> measured(int64_t rows) const noexcept {
    return by_rows_[static_cast<size_t>(rows)].median(n_steps_, 2);
  }
  std::array<RecentMedian, kMostTimedRows + 1> by_rows_ = {};
  int64_t n_steps_ = 0;
};

// The acceptance rates of one kind of draft: decayed averages by position in the draft.
class Acceptance {
 public:
  // Records a draft whose first n_accepted tokens were accepted and, when `then_rejected`, whose next one was not; what
  // would have become of those after it is not known. (0, false): there was an occasion, but no draft was watched; what
  // was seen fades, slowly, so that a kind given up is tried again.
  void record(int64_t n_accepted, bool then_rejected) noexcept;
  // a_j, j = 1 .. kMaxDraft. What was not seen is taken to be as likely as the position before, the first as 1/2.
  double rate(int64_t j) const noexcept;

 private:
  struct Position {
    double right = 0, seen = 0;
  };
  std::array<Position, kMaxDraft + 1> positions_ = {};
};

struct DraftLength {
  int64_t n = 0;                 // 0 to `most`
  double tokens_per_second = 0;  // expected
};
// 0 drafts unless more are expected to be faster by a twentieth, and until steps without drafts are measured.
// rows_beside: those of other sequences, with their drafts.
DraftLength best_count(const StepTimes& times, const Acceptance& acceptance, double seconds_per_draft, int64_t most,
                       int64_t rows_beside = 0) noexcept;

}  // namespace fathom
