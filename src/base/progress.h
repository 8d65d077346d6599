// A progress line on stderr for work that takes longer than a second.
#pragma once
#include <chrono>
#include <cstdint>
#include <string>

namespace fathom {

// On a terminal: one line redrawn at most ten times a second, with percent, rate and time left. Otherwise (a log file):
// one line every ten seconds. Nothing at all for the first second, and nothing when quiet. Not thread-safe: one thread
// calls it.
class Progress {
 public:
  // label: what is being done ("loading"); unit: what `total` counts ("tokens"); "B" prints sizes as MB and GB. total
  // 0: unknown.
  Progress(std::string label, uint64_t total, std::string unit, bool quiet = false);
  ~Progress();  // erases or ends the line
  Progress(const Progress&) = delete;
  Progress& operator=(const Progress&) = delete;

  void set(uint64_t done);
  void add(uint64_t n) { set(done_ + n); }

 private:
  using Clock = std::chrono::steady_clock;
  void draw(double elapsed);

  std::string label_, unit_;
  uint64_t total_, done_ = 0;
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
