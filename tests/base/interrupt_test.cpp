#include "base/interrupt.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <optional>

#include "support/files.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using test::TempFolder;
using test::write_text;

class InterruptTest : public ::testing::Test {
 protected:
  TempFolder folder_;
};
using InterruptDeathTest = InterruptTest;

TEST_F(InterruptDeathTest, EverySignalThatEndsRemovesWhatIsHalfWrittenAndNothingElse) {
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    write_text(folder_ / "half", "x");
    write_text(folder_ / "whole", "x");
    write_text(folder_ / "given up", "x");
    EXPECT_EXIT(
        {
          handle_end_signals();
          { const HalfWritten before(folder_ / "given up"); }
          const HalfWritten one(folder_ / "half");
          const HalfWritten missing(folder_ / "not made yet");
          ::raise(signal);
        },
        ::testing::KilledBySignal(signal), "");
    EXPECT_FALSE(fs::exists(folder_ / "half"));
    EXPECT_TRUE(fs::exists(folder_ / "whole"));
    EXPECT_TRUE(fs::exists(folder_ / "given up"));
  }
}

TEST_F(InterruptDeathTest, ASignalBeyondThoseThatMayWaitEndsAtOnce) {
  write_text(folder_ / "half", "x");
  EXPECT_EXIT(
      {
        handle_end_signals();
        const HalfWritten one(folder_ / "half");
        const StopRequest stop(1);
        ::raise(SIGTERM);
        if (stop.signal() == SIGTERM && stop.count() == 1) ::raise(SIGINT);
      },
      ::testing::KilledBySignal(SIGINT), "");
  EXPECT_FALSE(fs::exists(folder_ / "half"));
}

TEST_F(InterruptDeathTest, AFileThatAppearsIsKnownBeforeASignalCanEndTheProcess) {
  EXPECT_EXIT(
      {
        handle_end_signals();
        std::optional<HalfWritten> half;
        {
          const EndSignalsHeld held;
          ::raise(SIGINT);
          write_text(folder_ / "half", "x");
          half.emplace(folder_ / "half");
        }
        ::_exit(1);
      },
      ::testing::KilledBySignal(SIGINT), "");
  EXPECT_FALSE(fs::exists(folder_ / "half"));
}

TEST_F(InterruptDeathTest, FoldersGoWithWhatIsInThemAndLinksAreNotFollowed) {
  fs::create_directories(folder_ / "made" / std::string("training"));
  fs::create_directories(folder_ / "was empty");
  fs::create_directories(folder_ / "elsewhere");
  write_text(folder_ / "elsewhere" / std::string("kept"), "x");
  write_text(folder_ / "made" / std::string("training") / std::string("state"), "x");
  for (int i = 0; i < 300; ++i) write_text(folder_ / "made" / (std::string(100, 'n') + std::to_string(i)), "x");
  write_text(folder_ / "was empty" / std::string("shard"), "x");
  fs::create_directory_symlink(folder_ / "elsewhere", folder_ / "made" / std::string("link"));
  EXPECT_EXIT(
      {
        handle_end_signals();
        const HalfWritten one(folder_ / "made", HalfWritten::Kind::folder);
        const HalfWritten two(folder_ / "was empty", HalfWritten::Kind::contents);
        ::raise(SIGTERM);
      },
      ::testing::KilledBySignal(SIGTERM), "");
  EXPECT_FALSE(fs::exists(folder_ / "made"));
  EXPECT_TRUE(fs::is_empty(folder_ / "was empty"));
  EXPECT_TRUE(fs::exists(folder_ / "elsewhere" / std::string("kept")));
}

TEST_F(InterruptDeathTest, WhoeverAsksIsToldInsteadAndEndsByItself) {
  write_text(folder_ / "half", "x");
  EXPECT_EXIT(
      {
        handle_end_signals();
        const HalfWritten half(folder_ / "half");
        {
          const StopRequest stop;
          if (stop.signal() != 0) ::_exit(1);
          ::raise(SIGHUP);
          ::raise(SIGINT);
          if (stop.signal() != SIGHUP || stop.count() != 2) ::_exit(2);
        }
        const StopRequest another;
        ::_exit(another.count() == 0 && fs::exists(folder_ / "half") ? 7 : 3);
      },
      ::testing::ExitedWithCode(7), "");
  EXPECT_EXIT(
      {
        handle_end_signals();
        { const StopRequest stop; }
        ::raise(SIGINT);
      },
      ::testing::KilledBySignal(SIGINT), "");
  EXPECT_EXIT(end_by(SIGTERM), ::testing::KilledBySignal(SIGTERM), "");
}

TEST_F(InterruptDeathTest, ASignalIgnoredAtTheStartStaysIgnored) {
  EXPECT_EXIT(
      {
        ::signal(SIGHUP, SIG_IGN);  // nohup
        handle_end_signals();
        ::raise(SIGHUP);
        ::_exit(7);
      },
      ::testing::ExitedWithCode(7), "");
}

}  // namespace
}  // namespace fathom
