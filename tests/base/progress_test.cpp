#include "base/progress.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cstdlib>
#include <thread>

namespace fathom {
namespace {

const ProgressState kHalf{.label = "converting", .unit = "B", .total = 2'000'000'000, .done = 1'000'000'000};

TEST(ProgressLine, SaysWhatFits) {
  const auto line = [](size_t columns) { return progress_line(kHalf, 10, columns); };
  EXPECT_EQ(line(200), "converting: [############............]  50 %  1.00 GB of 2.00 GB  0:10 left  100.00 MB/s");
  EXPECT_EQ(line(79), "converting: [#######........]  50 %  1.00 GB of 2.00 GB  0:10 left  100.00 MB/s");
  EXPECT_EQ(line(70), "converting:  50 %  1.00 GB of 2.00 GB  0:10 left  100.00 MB/s");
  EXPECT_EQ(line(50), "converting:  50 %  1.00 GB of 2.00 GB  0:10 left");
  EXPECT_EQ(line(30), "converting:  50 %  0:10 left");
  EXPECT_EQ(line(19), "converting:  50 %");
  EXPECT_EQ(line(10), " 50 %");
  EXPECT_EQ(line(3), " 50");
  const ProgressState unknown{.label = "encoding", .unit = "tokens", .done = 100};
  EXPECT_EQ(progress_line(unknown, 10, 80), "encoding: 100 tokens  10.0 tokens/s");
  EXPECT_EQ(progress_line(unknown, 10, 20), "encoding: 100 tokens");
  EXPECT_EQ(progress_line(unknown, 10, 12), "100 tokens");
}

TEST(ProgressLine, IsNeverWiderThanAsked) {
  for (const uint64_t total : {uint64_t{0}, uint64_t{7}, uint64_t{1} << 60})
    for (const uint64_t done : {uint64_t{0}, uint64_t{3}, uint64_t{1} << 59})
      for (const char* unit : {"B", "tokens"})
        for (size_t columns = 0; columns < 140; ++columns) {
          const ProgressState state{.label = "learning merges", .unit = unit, .total = total, .done = done};
          ASSERT_LE(progress_line(state, 1.5, columns).size(), columns);
        }
}

// stderr is a terminal of ours for as long as this lives.
class Terminal {
 public:
  Terminal() : before_(::dup(STDERR_FILENO)) {
    int theirs = -1;
    EXPECT_EQ(::openpty(&ours_, &theirs, nullptr, nullptr, nullptr), 0);
    ::dup2(theirs, STDERR_FILENO);
    ::close(theirs);
    ::fcntl(ours_, F_SETFL, O_NONBLOCK);
    ::setenv("TERM", "xterm", 1);
  }
  ~Terminal() {
    ::dup2(before_, STDERR_FILENO);
    ::close(before_);
    ::close(ours_);
  }
  void resize(unsigned short columns) const {
    const winsize size{.ws_row = 24, .ws_col = columns, .ws_xpixel = 0, .ws_ypixel = 0};
    ::ioctl(ours_, TIOCSWINSZ, &size);
  }
  // What came since the last call.
  std::string shown() const {
    std::string text(1 << 16, '\0');
    const ssize_t n = ::read(ours_, text.data(), text.size());
    text.resize(n > 0 ? static_cast<size_t>(n) : 0);
    return text;
  }

 private:
  int before_, ours_ = -1;
};

TEST(Progress, FollowsTheWidthOfTheTerminalAndNeverScrolls) {
  const Terminal terminal;
  std::vector<size_t> lengths;
  {
    Progress progress("a rather long label of some work", 1000, "tokens");
    std::this_thread::sleep_for(std::chrono::milliseconds(1050));
    for (const unsigned short columns : {200, 80, 20, 0}) {
      terminal.resize(columns);
      EXPECT_EQ(terminal_columns(), columns == 0 ? 80u : columns);
      progress.set(500);
      const std::string text = terminal.shown();
      ASSERT_TRUE(text.starts_with("\r\x1b[K")) << text;
      EXPECT_EQ(text.find('\n'), std::string::npos);
      EXPECT_LT(text.size() - 4, columns == 0 ? 80u : columns);
      lengths.push_back(text.size());
      std::this_thread::sleep_for(std::chrono::milliseconds(110));
    }
  }
  EXPECT_GT(lengths[0], lengths[1]);
  EXPECT_GT(lengths[1], lengths[2]);
  EXPECT_EQ(terminal.shown(), "\r\x1b[K") << "it goes without a trace";
}

TEST(Progress, ADumbTerminalGetsNoEscapes) {
  const Terminal terminal;
  ::setenv("TERM", "dumb", 1);
  {
    Progress progress("work", 1000, "tokens");
    std::this_thread::sleep_for(std::chrono::milliseconds(1050));
    for (int i = 0; i < 10; ++i) progress.set(500);  // a line every ten seconds: none yet
  }
  EXPECT_EQ(terminal.shown(), "");
}

}  // namespace
}  // namespace fathom
