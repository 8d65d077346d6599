// A progress line on stderr for work that takes longer than a second.
#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

namespace fathom {

struct ProgressState {
  std::string label, unit;  // what is being done ("loading"); what is counted ("tokens"; "B" prints MB and GB)
  uint64_t total = 0;       // 0: unknown
  uint64_t done = 0;
};

// "loading: [####....]  50 %  1.00 GB of 2.00 GB  0:10 left  0.10 GB/s" after so many seconds, in at most so many
// columns: the less there are, the less is said.
std::string progress_line(const ProgressState& state, double elapsed, size_t columns);

// Columns of the terminal at stderr at this moment; 80 where it does not say.
size_t terminal_columns() noexcept;

// On a terminal: one line redrawn at most ten times a second, with percent, rate and time left, that fits its width as
// it then is. Otherwise (a log file, TERM=dumb): one line every ten seconds. Nothing at all for the first second, and
// nothing when quiet. Not thread-safe: one thread calls it.
class Progress {
 public:
  Progress(std::string label, uint64_t total, std::string unit, bool quiet = false);
  ~Progress();  // erases or ends the line
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void set(uint64_t done);
  void add(uint64_t n) { set(state_.done + n); }

 private:
  using Clock = std::chrono::steady_clock;

  ProgressState state_;
  bool quiet_, terminal_, drawn_ = false;
  Clock::time_point start_, last_draw_;
};

// "1.23 GB", "512 B": powers of 1000.
std::string human_bytes(double bytes);
// Whole seconds as "1:02:03" or "2:03".
std::string human_seconds(double seconds);
// Seconds since 1970 as "2026-11-28 19:02", local time.
std::string human_time(int64_t seconds);
// Largest resident size of this process so far, in bytes (VmHWM).
uint64_t peak_memory_bytes();

}  // namespace fathom
