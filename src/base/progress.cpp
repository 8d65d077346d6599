#include "base/progress.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <ctime>

namespace fathom {

Progress::Progress(std::string label, uint64_t total, std::string unit, bool quiet)
    : label_(std::move(label)),
      unit_(std::move(unit)),
      total_(total),
      quiet_(quiet),
      terminal_(::isatty(STDERR_FILENO) == 1),
      start_(Clock::now()),
      last_draw_(start_) {}

Progress::~Progress() {
  if (drawn_ && terminal_) std::fputs("\r\x1b[K", stderr);
}

void Progress::set(uint64_t done) {
  done_ = done;
  if (quiet_) return;
  const Clock::time_point now = Clock::now();
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  const double since_draw = std::chrono::duration<double>(now - last_draw_).count();
  if (elapsed < 1.0 || since_draw < (terminal_ ? 0.1 : 10.0)) return;
  last_draw_ = now;
  drawn_ = true;
  draw(elapsed);
}

void Progress::draw(double elapsed) {
  const double rate = static_cast<double>(done_) / elapsed;
  const auto amount = [&](double n) { return unit_ == "B" ? human_bytes(n) : fmt::format("{:.0f} {}", n, unit_); };
  std::string line = fmt::format("{}: ", label_);
  if (total_ > 0) {
    const double fraction = static_cast<double>(done_) / static_cast<double>(total_);
    constexpr int kWidth = 24;
    const int full = static_cast<int>(std::min(1.0, fraction) * kWidth);
    line += fmt::format("[{}{}] {:3.0f} %  {} of {}", std::string(static_cast<size_t>(full), '#'),
                        std::string(static_cast<size_t>(kWidth - full), '.'), 100 * fraction,
                        amount(static_cast<double>(done_)), amount(static_cast<double>(total_)));
    if (rate > 0 && done_ < total_)
      line += fmt::format("  {} left", human_seconds(static_cast<double>(total_ - done_) / rate));
  } else {
    line += amount(static_cast<double>(done_));
  }
  line += unit_ == "B" ? fmt::format("  {}/s", human_bytes(rate)) : fmt::format("  {:.1f} {}/s", rate, unit_);
  if (terminal_) {
    fmt::print(stderr, "\r\x1b[K{}", line);
  } else {
    fmt::print(stderr, "{}\n", line);
  }
  std::fflush(stderr);
}

std::string human_bytes(double bytes) {
  constexpr std::array<const char*, 5> kUnits = {"B", "kB", "MB", "GB", "TB"};
  size_t u = 0;
  while (bytes >= 1000 && u + 1 < kUnits.size()) {
    bytes /= 1000;
    ++u;
  }
  return u == 0 ? fmt::format("{:.0f} B", bytes) : fmt::format("{:.2f} {}", bytes, kUnits[u]);
}

std::string human_seconds(double seconds) {
  const auto s = static_cast<int64_t>(std::lround(seconds));
  if (s >= 3600) return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
  return fmt::format("{}:{:02}", s / 60, s % 60);
}

std::string human_time(int64_t seconds) {
  const std::time_t t = seconds;
  std::tm local{};
  ::localtime_r(&t, &local);
  char text[32];
  return {text, std::strftime(text, sizeof text, "%Y-%m-%d %H:%M", &local)};
}

uint64_t peak_memory_bytes() {
  struct rusage usage {};
  ::getrusage(RUSAGE_SELF, &usage);
  return static_cast<uint64_t>(usage.ru_maxrss) * 1024;
}

}  // namespace fathom
