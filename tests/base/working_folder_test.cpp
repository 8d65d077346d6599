#include "base/file/working_folder.h"

#include <gtest/gtest.h>
#include <signal.h>

#include "support/files.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::error_of;
using test::write_text;
using Leftovers = WorkingFolder::Leftovers;

class WorkingFolderTest : public ::testing::Test {
 protected:
  test::TempFolder folder_;
};
using WorkingFolderDeathTest = WorkingFolderTest;

TEST_F(WorkingFolderTest, IsGoneUnlessKept) {
  {
    const WorkingFolder out(folder_ / "new/inner", Leftovers::refused);
    fs::create_directory(folder_ / "new/inner/deep");
    write_text(folder_ / "new/inner/deep/file", "x");
  }
  EXPECT_FALSE(fs::exists(folder_ / "new/inner"));
  fs::create_directory(folder_ / "was there");
  {
    const WorkingFolder out(folder_ / "was there", Leftovers::refused);
    write_text(folder_ / "was there/file", "x");
  }
  EXPECT_TRUE(fs::is_empty(folder_ / "was there"));
  {
    WorkingFolder out(folder_ / "was there", Leftovers::refused);
    write_text(folder_ / "was there/file", "x");
    out.keep();
  }
  EXPECT_TRUE(fs::exists(folder_ / "was there/file"));
}

TEST_F(WorkingFolderTest, WhatIsInItIsRefusedAndKeptOrTakenAway) {
  fs::create_directory(folder_ / "x");
  write_text(folder_ / "x/file", "x");
  EXPECT_TRUE(contains(error_of([&] { WorkingFolder out(folder_ / "x", Leftovers::refused); }), "is not empty"));
  EXPECT_TRUE(fs::exists(folder_ / "x/file"));
  {
    const WorkingFolder out(folder_ / "x", Leftovers::removed);
    EXPECT_TRUE(fs::is_empty(folder_ / "x"));
  }
  EXPECT_FALSE(fs::exists(folder_ / "x"));
  write_text(folder_ / "file", "x");
  EXPECT_TRUE(contains(error_of([&] { WorkingFolder out(folder_ / "file", Leftovers::removed); }), "cannot be made"));
  EXPECT_TRUE(fs::exists(folder_ / "file"));
}

TEST_F(WorkingFolderTest, ALinkToAFolderIsFollowed) {
  fs::create_directory(folder_ / "other disk");
  fs::create_directory_symlink("other disk", folder_ / "link");
  {
    const WorkingFolder out(folder_ / "link", Leftovers::refused);
    write_text(folder_ / "link/file", "x");
  }
  EXPECT_TRUE(fs::is_symlink(folder_ / "link") && fs::is_empty(folder_ / "other disk"));
}

TEST_F(WorkingFolderTest, ASecondWriterIsRefusedAndHarmsNothing) {
  EXPECT_FALSE(is_being_filled(folder_ / "x"));
  const WorkingFolder first(folder_ / "x", Leftovers::removed);
  EXPECT_TRUE(is_being_filled(folder_ / "x"));
  EXPECT_FALSE(is_being_filled(folder_.path()));
  write_text(folder_ / "x/file", "x");
  for (const Leftovers leftovers : {Leftovers::removed, Leftovers::refused})
    EXPECT_TRUE(contains(error_of([&] { WorkingFolder second(folder_ / "x", leftovers); }),
                         "x: another process is writing it"));
  EXPECT_TRUE(fs::exists(folder_ / "x/file"));
}

TEST_F(WorkingFolderDeathTest, ASignalRemovesIt) {
  EXPECT_EXIT(
      {
        handle_end_signals();
        const WorkingFolder out(folder_ / "x", Leftovers::refused);
        write_text(folder_ / "x/file", "x");
        ::raise(SIGINT);
      },
      ::testing::KilledBySignal(SIGINT), "");
  EXPECT_FALSE(fs::exists(folder_ / "x"));
}

}  // namespace
}  // namespace fathom
