#include "base/file/file.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <span>

#include "base/error.h"
#include "support/files.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using test::refusal;

class FileTest : public ::testing::Test {
 protected:
  fs::path write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ / name, std::ios::binary) << text;
    return folder_ / name;
  }
  test::TempFolder folder_;
};

TEST_F(FileTest, ReadsAndMapsWhatIsThere) {
  const std::string text("a\0b\n", 4);
  const fs::path path = write("x", text);
  EXPECT_EQ(read_file(path), text);
  const MappedFile mapped(path);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(mapped.bytes().data()), mapped.bytes().size()), text);
  EXPECT_TRUE(MappedFile(write("empty", "")).bytes().empty());
}

TEST_F(FileTest, NamesWhatIsNoRegularFileAndNeverWaits) {
  const fs::path fifo = folder_ / "fifo";
  ASSERT_EQ(::mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_NE(refusal([&] { read_file(fifo); }).find("is a FIFO"), std::string::npos);
  EXPECT_NE(refusal([&] { MappedFile m(folder_); }).find("is a directory"), std::string::npos);
  EXPECT_NE(refusal([&] { read_file("/dev/zero"); }).find("is a device"), std::string::npos);
  EXPECT_NE(refusal([&] { read_file(folder_ / "missing"); }).find("No such file"), std::string::npos);
  EXPECT_NE(refusal([&] { read_file(write("long", "12345"), 4); }).find("at most 4"), std::string::npos);
}

TEST_F(FileTest, AWriterLeavesTheOldFileUntilItCommits) {
  const fs::path path = write("x", "old");
  {
    FileWriter writer(path);
    writer.write("new");
    EXPECT_EQ(read_file(path), "old");
  }
  EXPECT_EQ(read_file(path), "old");
  EXPECT_FALSE(fs::exists(path.string() + ".partial"));
  FileWriter writer(path);
  writer.write("new");
  writer.pad_to(8);
  writer.commit();
  EXPECT_EQ(read_file(path), std::string("new\0\0\0\0\0", 8));
}

TEST_F(FileTest, WritersWithPartialFilesOfTheirOwnDoNotMeet) {
  const fs::path path = folder_ / "x";
  {
    FileWriter one(path, Partial::own), two(path, Partial::own);
    one.write("one");
    two.write("and");
    two.overwrite(1, std::as_bytes(std::span("wo", 2)));
    for (const auto& entry : fs::directory_iterator(folder_)) EXPECT_FALSE(is_abandoned(entry.path()));
    one.commit();
    EXPECT_EQ(read_file(path), "one");
    two.commit();
  }
  EXPECT_EQ(read_file(path), "awo");
  EXPECT_EQ(std::distance(fs::directory_iterator(folder_), {}), 1);
  EXPECT_TRUE(is_abandoned(path));
  EXPECT_FALSE(is_abandoned(folder_ / "missing"));
}

TEST_F(FileTest, AFileTruncatedWhileMappedEndsTheProcessWithASentence) {
  const fs::path path = write("model", std::string(1 << 16, 'x'));
  EXPECT_EXIT(
      {
        const MappedFile mapped(path);
        fs::resize_file(path, 0);
        volatile char c = static_cast<char>(mapped.bytes()[5000]);
        static_cast<void>(c);
      },
      ::testing::ExitedWithCode(2), "model: the file can no longer be read");
}

}  // namespace
}  // namespace fathom
