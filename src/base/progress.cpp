#include "base/progress.h"

#include <fmt/format.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <initializer_list>
#include <iterator>
#include <string_view>

namespace fathom {

namespace {

// Whether stderr is a terminal that can go back to the start of a line and erase it.
bool can_redraw() {
  const char* term = std::getenv("TERM");
  return ::isatty(STDERR_FILENO) == 1 && term != nullptr && *term != '\0' && std::string_view(term) != "dumb";
}

std::string amount(double n, const std::string& unit) {
  return unit == "B" ? human_bytes(n) : fmt::format("{:.0f} {}", n, unit);
}

std::string bar(double fraction, size_t width) {
  const auto full = static_cast<size_t>(std::min(1.0, fraction) * static_cast<double>(width));
  return fmt::format("[{:#<{}}{:.<{}}] ", "", full, "", width - full);
}

// The longest of `lines`, which become shorter, that fits; else the start of the last one.
std::string longest_that_fits(std::initializer_list<std::string> lines, size_t columns) {
  for (const std::string& line : lines)
    if (line.size() <= columns) return line;
  return std::prev(lines.end())->substr(0, columns);
}

}  // namespace

std::string progress_line(const ProgressState& s, double elapsed, size_t columns) {
  const double done = static_cast<double>(s.done), total = static_cast<double>(s.total), rate = done / elapsed;
  const std::string label = s.label + ": ";
  const std::string speed =
      s.unit == "B" ? fmt::format("  {}/s", human_bytes(rate)) : fmt::format("  {:.1f} {}/s", rate, s.unit);
  if (s.total == 0) {
    const std::string so_far = amount(done, s.unit);
    return longest_that_fits({label + so_far + speed, label + so_far, so_far}, columns);
  }
  const std::string percent = fmt::format("{:3.0f} %", 100 * done / total);
  const std::string amounts = fmt::format("  {} of {}", amount(done, s.unit), amount(total, s.unit));
  const std::string left =
      rate > 0 && s.done < s.total ? fmt::format("  {} left", human_seconds((total - done) / rate)) : "";
  const std::string words = percent + amounts + left + speed;
  constexpr size_t kBar = 24, kLeastBar = 8, kBrackets = 3;
  const size_t taken = label.size() + words.size() + kBrackets;
  if (taken + kLeastBar <= columns) return label + bar(done / total, std::min(kBar, columns - taken)) + words;
  return longest_that_fits(
      {label + words, label + percent + amounts + left, label + percent + left, label + percent, percent}, columns);
}

size_t terminal_columns() noexcept {
  winsize size{};
  return ::ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0 ? size.ws_col : 80;
}

Progress::Progress(std::string label, uint64_t total, std::string unit, bool quiet)
    : state_{.label = std::move(label), .unit = std::move(unit), .total = total},
      quiet_(quiet),
      terminal_(can_redraw()),
      start_(Clock::now()),
      last_draw_(start_) {}

Progress::~Progress() {
  if (drawn_ && terminal_) std::fputs("\r\x1b[K", stderr);
}

void Progress::set(uint64_t done) {
  state_.done = done;
  if (quiet_) return;
  const Clock::time_point now = Clock::now();
  const double elapsed = std::chrono::duration<double>(now - start_).count();
  const double since_draw = std::chrono::duration<double>(now - last_draw_).count();
  if (elapsed < 1.0 || since_draw < (terminal_ ? 0.1 : 10.0)) return;
  last_draw_ = now;
  drawn_ = true;
  // In the last column of a terminal the cursor may go to the next line, so it stays free.
  const std::string line = terminal_ ? "\r\x1b[K" + progress_line(state_, elapsed, terminal_columns() - 1)
                                     : progress_line(state_, elapsed, SIZE_MAX) + "\n";
  std::fputs(line.c_str(), stderr);
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
