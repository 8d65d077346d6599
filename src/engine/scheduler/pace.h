// How much of a passage a step may carry, so that running sequences get their next token in time. With D the seconds of
// a step in which every running sequence decodes, those that still read their prompts too, a step may take stretch * D:
// what reads now is soon part of each step, and the sooner it is, the more tokens a step gives. Times are measured as
// they come, and nothing here changes what
// is computed. An infinite stretch: nobody waits for the next token, and a passage crosses all layers at once.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>

#include "kernels/peak.h"

namespace fathom {

// A decayed average: the newest value counts a quarter.
class DecayedMean {
 public:
  void record(double value) noexcept { mean_ = n_++ == 0 ? value : mean_ + (value - mean_) / 4; }
  bool is_known() const noexcept { return n_ > 0; }
  double value() const noexcept { return mean_; }

 private:
  double mean_ = 0;
  int64_t n_ = 0;
};

class PassagePace {
 public:
  // clock: seconds that never go back.
  PassagePace(
      int64_t layers, double stretch, std::function<double()> clock = [] { return clock_seconds(); })
      : layers_(static_cast<double>(layers)), stretch_(stretch), clock_(std::move(clock)) {}

  // Rows of a passage that is to run beside n_decoding of n_running sequences: so many that a layer of it fits, at most
  // `most`.
  int64_t passage_rows(int64_t n_decoding, int64_t n_running, int64_t most) const noexcept;

  // A step of n_decoding of n_running sequences with a passage of so many rows (0: none) begins.
  void begin(int64_t n_decoding, int64_t n_running, int64_t rows) noexcept;
  // Asked before each layer that the passage could take, which is `layer` now; true: it takes part.
  bool allows(int64_t layer) noexcept;
  void finish() noexcept;
  double seconds() const noexcept { return seconds_; }  // of the last step

 private:
  static constexpr std::size_t kMaxRows = 64;
  // Seconds of a layer of all running sequences. What is larger than anything known is taken to lie halfway between the
  // largest known and its multiple in proportion.
  double seconds_of_all(int64_t n_running) const noexcept;
  // Seconds of a layer of so many sequences without a passage, of the nearest number that is known; nullptr: none is.
  const DecayedMean* alone(int64_t n_decoding) const noexcept;
  DecayedMean& alone_of(int64_t n) noexcept;

  double layers_, stretch_;
  std::function<double()> clock_;
  std::array<DecayedMean, kMaxRows + 1> alone_ = {};  // by sequences that decode
  DecayedMean row_;                                   // seconds that a row of a passage takes in one layer
  int64_t n_decoding_ = 0, n_running_ = 0, rows_ = 0;
  double start_ = 0, last_ = 0, seconds_ = 0;    // of this step; of the last call of allows
  double seconds_alone_ = 0, layers_alone_ = 0;  // of this step, without the passage
  int64_t refused_at_ = -1;                      // layer; -1: the passage was not refused
  bool took_part_ = false, was_asked_ = false;
};

}  // namespace fathom
