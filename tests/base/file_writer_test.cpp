#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <future>

#include "base/file/file.h"
#include "support/files.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::error_of;
using test::read_text;
using test::TempFolder;
using test::write_text;

class FileWriterTest : public ::testing::Test {
 protected:
  // Everything in the folder, so that nothing half-written is overlooked.
  std::vector<std::string> names() const {
    std::vector<std::string> out;
    for (const auto& entry : fs::directory_iterator(folder_.path())) out.push_back(entry.path().filename());
    std::sort(out.begin(), out.end());
    return out;
  }
  static void write_whole(const fs::path& path, std::string_view text) {
    FileWriter writer(path);
    writer.write(text);
    writer.commit();
  }
  TempFolder folder_;
};
using FileWriterDeathTest = FileWriterTest;

struct stat status_of(const fs::path& path) {
  struct stat st {};
  ::lstat(path.c_str(), &st);
  return st;
}

TEST_F(FileWriterTest, LinksAreFollowedAndStayLinks) {
  fs::create_directory(folder_ / "elsewhere");
  write_text(folder_ / "elsewhere/file", "old");
  fs::create_symlink("elsewhere/file", folder_ / "link");
  fs::create_symlink(folder_ / "link", folder_ / "link of a link");
  fs::create_symlink("elsewhere/new", folder_ / "link to nothing yet");
  write_whole(folder_ / "link of a link", "new");
  write_whole(folder_ / "link to nothing yet", "newer");
  EXPECT_TRUE(fs::is_symlink(folder_ / "link") && fs::is_symlink(folder_ / "link of a link"));
  EXPECT_EQ(read_text(folder_ / "elsewhere/file"), "new");
  EXPECT_EQ(read_text(folder_ / "elsewhere/new"), "newer");
  EXPECT_EQ(names(), (std::vector<std::string>{"elsewhere", "link", "link of a link", "link to nothing yet"}));
  fs::create_symlink("round", folder_ / "round");
  EXPECT_TRUE(contains(error_of([&] { FileWriter w(folder_ / "round"); }), "Too many levels"));
}

TEST_F(FileWriterTest, DevicesAreWrittenThroughAndNeverReplaced) {
  for (const char* device : {"/dev/null", "/dev/full"})
    fs::create_symlink(device, folder_ / fs::path(device).filename().string());
  write_whole(folder_ / "null", "gone");
  EXPECT_TRUE(S_ISCHR(status_of("/dev/null").st_mode));
  EXPECT_EQ(fs::read_symlink(folder_ / "null"), "/dev/null");
  EXPECT_TRUE(contains(error_of([&] { write_whole(folder_ / "full", "x"); }), "No space left"));
  if (::mknod((folder_ / "own").c_str(), S_IFCHR | 0600, makedev(1, 3)) == 0 &&
      ::access((folder_ / "own").c_str(), W_OK) == 0) {
    write_whole(folder_ / "own", "gone");  // root alone may make one
    EXPECT_TRUE(S_ISCHR(status_of(folder_ / "own").st_mode));
  }
  EXPECT_FALSE(fs::exists(folder_ / "null.partial") || fs::exists(folder_ / "full.partial"));
}

TEST_F(FileWriterTest, AFifoIsWrittenInOrderAndNothingElseIsPossible) {
  const fs::path fifo = folder_ / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  auto reader = std::async(std::launch::async, [&] { return read_text(fifo); });
  const std::string text(3 << 20, 'x');  // more than the writer's and the pipe's buffers
  {
    FileWriter writer(fifo);
    writer.write(text);
    EXPECT_TRUE(contains(error_of([&] { writer.overwrite(0, {}); }), "is a pipe or a device"));
    writer.commit();
  }
  EXPECT_TRUE(reader.get() == text);
  EXPECT_TRUE(S_ISFIFO(status_of(fifo).st_mode));
  EXPECT_EQ(names(), std::vector<std::string>{"fifo"});
}

TEST_F(FileWriterTest, ADescriptorByItsNameIsWrittenWhereItStands) {
  const int fd = ::open((folder_ / "out").c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  ASSERT_EQ(::write(fd, "before ", 7), 7);
  for (const char* folder : {"/dev/fd/", "/proc/self/fd/"}) write_whole(folder + std::to_string(fd), "middle ");
  ASSERT_EQ(::write(fd, "after", 5), 5);
  ::close(fd);
  EXPECT_EQ(read_text(folder_ / "out"), "before middle middle after");
  EXPECT_TRUE(is_stream("/dev/stdout"));
  EXPECT_TRUE(contains(error_of([&] { write_whole("/dev/fd/987", "x"); }), "Bad file descriptor"));
}

TEST_F(FileWriterTest, APipeThatDoesNotWaitIsWaitedFor) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_NONBLOCK), 0);
  const std::string text(1 << 20, 'x');
  auto reader = std::async(std::launch::async, [&] {
    std::string all;
    for (std::array<char, 4096> some; all.size() < text.size();)
      if (const ssize_t n = ::read(ends[0], some.data(), some.size()); n > 0)
        all.append(some.data(), static_cast<size_t>(n));
    return all;
  });
  write_whole("/dev/fd/" + std::to_string(ends[1]), text);
  EXPECT_TRUE(reader.get() == text);
  ::close(ends[0]);
  ::close(ends[1]);
}

TEST_F(FileWriterTest, AFileThatWasThereKeepsItsRights) {
  write_text(folder_ / "x", "old");
  ASSERT_EQ(::chmod((folder_ / "x").c_str(), 0640), 0);
  const bool root = ::geteuid() == 0 && ::chown((folder_ / "x").c_str(), 12, 34) == 0;
  fs::create_hard_link(folder_ / "x", folder_ / "other name");
  write_whole(folder_ / "x", "new");
  EXPECT_EQ(status_of(folder_ / "x").st_mode & 07777, 0640u);
  if (root) {
    EXPECT_TRUE(status_of(folder_ / "x").st_uid == 12 && status_of(folder_ / "x").st_gid == 34);
  }
  EXPECT_EQ(read_text(folder_ / "other name"), "old") << "as the header says";
  const mode_t mask = ::umask(027);
  write_whole(folder_ / "y", "new");
  ::umask(mask);
  EXPECT_EQ(status_of(folder_ / "y").st_mode & 07777, 0640u) << "a new file has what the umask leaves";
}

TEST_F(FileWriterTest, ASecondWriterOfAFileIsRefusedByName) {
  const fs::path path = folder_ / "x";
  FileWriter first(path);
  first.write("first");
  EXPECT_TRUE(contains(error_of([&] { FileWriter second(path); }), "x: another process is writing it"));
  fs::create_symlink("x", folder_ / "link");
  EXPECT_TRUE(contains(error_of([&] { FileWriter second(folder_ / "link"); }), "link: another process"));
  first.commit();
  EXPECT_EQ(read_text(path), "first");
  write_whole(path, "second");
  EXPECT_EQ(read_text(path), "second");
}

TEST_F(FileWriterTest, WhatAKilledWriterLeftIsWrittenOver) {
  const fs::path path = folder_ / "x";
  write_text(folder_ / "x.partial", "half of something longer");
  write_whole(path, "whole");
  EXPECT_EQ(read_text(path), "whole");
  EXPECT_EQ(names(), std::vector<std::string>{"x"});
  write_text(folder_ / "elsewhere", "kept");
  fs::create_symlink("elsewhere", folder_ / "x.partial");  // which nobody of ours made
  EXPECT_TRUE(contains(error_of([&] { FileWriter w(path); }), "x.partial"));
  EXPECT_EQ(read_text(folder_ / "elsewhere"), "kept");
}

TEST_F(FileWriterTest, TheLongestNameThatAFileMayHaveIsFine) {
  write_whole(folder_ / std::string(255, 'n'), "x");
  EXPECT_EQ(names(), std::vector<std::string>{std::string(255, 'n')});
  EXPECT_TRUE(contains(error_of([&] { write_whole(folder_ / std::string(256, 'n'), "x"); }), "name too long"));
}

TEST_F(FileWriterTest, WhatCannotBeWrittenIsKnownBeforehand) {
  const auto refusal = [&](const fs::path& path) {
    const std::string sentence = error_of([&] { check_writable(path); });
    EXPECT_EQ(sentence, error_of([&] { FileWriter w(path); })) << path;
    return sentence;
  };
  fs::create_directory(folder_ / "folder");
  EXPECT_TRUE(contains(refusal(folder_ / "folder"), "is a directory; name a file"));
  EXPECT_TRUE(contains(refusal(folder_ / "folder/"), "is a directory; name a file"));
  EXPECT_TRUE(contains(refusal(folder_ / "no/such/folder"), "there is no folder"));
  EXPECT_TRUE(contains(refusal(folder_ / "no/"), "there is no folder"));
  write_text(folder_ / "file", "x");
  EXPECT_TRUE(contains(refusal(folder_ / "file/x"), "Not a directory"));
  EXPECT_EQ(refusal(folder_ / "file"), "");
  EXPECT_EQ(refusal(folder_ / "new"), "");
  fs::permissions(folder_ / "file", fs::perms::owner_read);
  fs::permissions(folder_ / "folder", fs::perms::owner_read | fs::perms::owner_exec);
  if (::geteuid() == 0) return;  // who may write everything
  EXPECT_TRUE(contains(refusal(folder_ / "file"), "Permission denied"));
  EXPECT_TRUE(contains(refusal(folder_ / "folder/new"), "Permission denied"));
}

TEST_F(FileWriterTest, AnOutputThatIsAnInputIsRefusedUnderEveryName) {
  write_text(folder_ / "model", "x");
  fs::create_symlink("model", folder_ / "link");
  fs::create_hard_link(folder_ / "model", folder_ / "other");
  const std::vector<fs::path> inputs = {folder_ / "missing", folder_ / "model"};
  for (const char* name : {"model", "link", "other", "./model"})
    EXPECT_TRUE(contains(error_of([&] { check_writable(folder_ / name, inputs); }), "is also an input")) << name;
  EXPECT_EQ(error_of([&] { check_writable(folder_ / "new", inputs); }), "");
  EXPECT_EQ(error_of([&] { check_writable(folder_ / "link"); }), "");
  const MappedFile model(folder_ / "other");
  EXPECT_TRUE(contains(error_of([&] { check_writable(folder_ / "link"); }), "is also an input"));
  const std::vector<fs::path> terminal = {"/dev/null"};
  EXPECT_EQ(error_of([&] { check_writable("/dev/null", terminal); }), "") << "a device keeps nothing";
}

TEST_F(FileWriterTest, TwoNamesOfOneFileAreFoundBeforeItIsThere) {
  std::filesystem::create_symlink("new", folder_ / "link");
  EXPECT_TRUE(is_same_file(folder_ / "new", folder_ / "link"));
  EXPECT_TRUE(is_same_file(folder_ / "new", folder_.path() / "." / "new"));
  EXPECT_FALSE(is_same_file(folder_ / "new", folder_ / "other"));
  write_text(folder_ / "new", "");
  std::filesystem::create_hard_link(folder_ / "new", folder_ / "other");
  EXPECT_TRUE(is_same_file(folder_ / "new", folder_ / "other"));
}

TEST_F(FileWriterDeathTest, AFileBeyondTheLimitOfItsSizeIsASentenceAndLeavesNothing) {
  EXPECT_EXIT(
      {
        handle_end_signals();
        rlimit limit{};
        limit.rlim_cur = limit.rlim_max = 1 << 20;
        ::setrlimit(RLIMIT_FSIZE, &limit);
        const std::string sentence = error_of([&] { write_whole(folder_ / "x", std::string(5 << 20, 'x')); });
        std::fputs(sentence.c_str(), stderr);
        ::_exit(names().empty() ? 7 : 1);
      },
      ::testing::ExitedWithCode(7), "x: writing stopped after 1048576 bytes: File too large");
}

TEST_F(FileWriterDeathTest, ASignalLeavesTheOldFileAndNothingHalfWritten) {
  write_text(folder_ / "x", "old");
  EXPECT_EXIT(
      {
        handle_end_signals();
        FileWriter writer(folder_ / "x");
        FileWriter own(folder_ / "y", Partial::own);
        writer.write(std::string(5 << 20, 'x'));
        ::raise(SIGINT);
      },
      ::testing::KilledBySignal(SIGINT), "");
  EXPECT_EQ(names(), std::vector<std::string>{"x"});
  EXPECT_EQ(read_text(folder_ / "x"), "old");
}

}  // namespace
}  // namespace fathom
