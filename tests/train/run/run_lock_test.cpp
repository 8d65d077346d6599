#include "train/run/run_lock.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "base/error.h"
#include "support/files.h"

namespace fathom {
namespace {

using test::contains;
using test::error_of;

TEST(RunLock, IsHeldOnceAndNamesItsProcess) {
  const test::TempFolder folder;
  {
    const RunLock lock(folder.path());
    EXPECT_TRUE(contains(error_of([&] { RunLock second(folder.path()); }),
                         "(process " + std::to_string(::getpid()) + ") is writing this run"));
  }
  EXPECT_EQ(error_of([&] { RunLock again(folder.path()); }), "");
}

TEST(RunLock, AFolderThatCannotBeWrittenIsRefused) {
  const test::TempFolder folder;
  EXPECT_TRUE(contains(error_of([&] { RunLock lock(folder / "none"); }), "cannot be written: No such file"));
  std::filesystem::create_directory(folder / "lock");
  EXPECT_TRUE(contains(error_of([&] { RunLock lock(folder.path()); }), "cannot be written: Is a directory"));
}

}  // namespace
}  // namespace fathom
