#include "train/run/run_log.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <limits>

#include "base/error.h"
#include "base/file/file.h"
#include "base/json/json.h"
#include "support/files.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

class RunLogTest : public ::testing::Test {
 protected:
  void put(const std::string& text) {
    fs::create_directories(run_);
    test::write_text(run_ / "metrics.jsonl", text);
  }
  std::string jsonl() const { return read_file(run_ / "metrics.jsonl"); }
  size_t n_event_files() const {
    const fs::directory_iterator files(run_ / "tensorboard");
    return static_cast<size_t>(std::distance(begin(files), end(files)));
  }
  test::TempFolder folder_;
  const fs::path run_ = folder_ / "run";
};

MetricsRecord record(int64_t step) { return {step, 10.0 * static_cast<double>(step), {{"loss", 1.0 / 3}}, {}}; }

// The steps of the lines of a metrics.jsonl.
std::vector<int64_t> steps(const std::string& text) {
  std::vector<int64_t> out;
  for (size_t at = 0, end; (end = text.find('\n', at)) != std::string::npos; at = end + 1)
    out.push_back(parse_json(text.substr(at, end - at), "test").at("step").as_int64());
  return out;
}

TEST(MetricsLine, IsOneJsonObjectWhoseNumbersReadBackEqual) {
  const std::string line = metrics_line(
      {12, 49152, {{"loss", 1.0 / 3}, {"odd \"name\"\n", -2.5e-300}}, {{"load", {0.25, 1e22}}}}, 1.7e9 + 0.25);
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const json::value v = parse_json(line, "line");
  EXPECT_EQ(v.at("step").as_int64(), 12);
  EXPECT_EQ(v.at("tokens").to_number<double>(), 49152);
  EXPECT_EQ(v.at("time").to_number<double>(), 1.7e9 + 0.25);
  EXPECT_EQ(std::strtod(line.c_str() + line.find("0.33"), nullptr), 1.0 / 3);
  EXPECT_TRUE(v.as_object().contains("odd \"name\"\n"));
  // By strtod, which rounds correctly; Boost.JSON may be off by one bit.
  EXPECT_EQ(std::strtod(line.c_str() + line.find("-2.5"), nullptr), -2.5e-300);
  EXPECT_EQ(v.at("load").as_array().at(1).to_number<double>(), 1e22);
}

TEST(MetricsLine, NaNAndInfinitiesAreNull) {
  const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
  const json::value v = parse_json(metrics_line({0, 0, {{"a", nan}, {"b", -inf}}, {{"c", {inf, 1.0}}}}, 1.0), "line");
  EXPECT_TRUE(v.at("a").is_null());
  EXPECT_TRUE(v.at("b").is_null());
  EXPECT_TRUE(v.at("c").as_array().at(0).is_null());
}

TEST(KeepUntilStep, KeepsWholeLinesUpToTheStepByteForByte) {
  const std::string text = "{\"step\":1, \"x\" : 1.50}\n{\"step\":3}\n{\"step\":2}\n{\"step\":4}\n{\"step\":2,\"lo";
  EXPECT_EQ(keep_until_step(text, 2, "f"), "{\"step\":1, \"x\" : 1.50}\n{\"step\":2}\n");
  EXPECT_EQ(keep_until_step(text, 100, "f"), text.substr(0, text.rfind('\n') + 1));
  EXPECT_EQ(keep_until_step("", 5, "f"), "");
  EXPECT_EQ(keep_until_step(std::string("{\"step\":1}\n") + std::string(9, '\0'), 5, "f"), "{\"step\":1}\n");
}

TEST(KeepUntilStep, ALineWithoutItsEndIsCutOffOnlyWhereItBeginsARecord) {
  const std::string why = test::error_of([] { keep_until_step("my own notes", -1, "m.jsonl"); });
  EXPECT_NE(why.find("m.jsonl, line 1: is no record of a run"), std::string::npos) << why;
}

TEST(KeepUntilStep, NamesTheLineThatIsNoRecord) {
  for (const std::string bad : {"", "nonsense", "[1]", "{\"stop\":1}", "{\"step\":1.5}", "{\"step\":null}"}) {
    const std::string why = test::error_of([&] { keep_until_step("{\"step\":1}\n" + bad + "\n", 9, "m.jsonl"); });
    EXPECT_NE(why.find("m.jsonl, line 2"), std::string::npos) << why;
  }
}

TEST_F(RunLogTest, ARecordCanBeReadAsSoonAsItIsWritten) {
  RunLog log(run_, -1);
  log.write(record(1));
  EXPECT_EQ(steps(jsonl()), (std::vector<int64_t>{1}));
  log.write(record(2));
  EXPECT_EQ(steps(jsonl()), (std::vector<int64_t>{1, 2}));
}

TEST_F(RunLogTest, ResumingDropsTheStepsThatWillBeRepeatedAndBeginsANewEventFile) {
  {
    RunLog log(run_, -1);
    for (int64_t s = 1; s <= 5; ++s) log.write(record(s));
  }
  RunLog log(run_, 3);
  EXPECT_EQ(steps(jsonl()), (std::vector<int64_t>{1, 2, 3}));
  log.write(record(4));
  EXPECT_EQ(steps(jsonl()), (std::vector<int64_t>{1, 2, 3, 4}));
  EXPECT_EQ(n_event_files(), 2u);
  EXPECT_FALSE(fs::exists(run_ / "metrics.jsonl.partial"));
}

TEST_F(RunLogTest, ALineTornByAKillIsCutAndTheNextRecordIsWhole) {
  put("{\"step\":1}\n{\"step\":2,\"loss\":3.");
  RunLog log(run_, 7);
  log.write(record(2));
  EXPECT_EQ(steps(jsonl()), (std::vector<int64_t>{1, 2}));
}

TEST_F(RunLogTest, ANewRunKeepsNothingOfAnOlderOneEvenWhenItsFileIsNoJson) {
  put("what is this\n");
  RunLog log(run_, -1);
  EXPECT_EQ(jsonl(), "");
}

TEST_F(RunLogTest, AFileOfAnotherKindIsRefusedAndLeftAsItWas) {
  put("{\"step\":1}\nwhat is this\n");
  EXPECT_NE(test::error_of([&] { RunLog log(run_, 3); }).find("line 2"), std::string::npos);
  EXPECT_EQ(jsonl(), "{\"step\":1}\nwhat is this\n");
}

TEST_F(RunLogTest, AFolderThatCannotBeWrittenIsNamedBeforeTraining) {
  fs::create_directories(run_);
  test::write_text(run_ / "file", "x");
  const std::string why =
      test::error_of([&] { RunLog log(run_ / "file" / "run", -1); });  // also for root, unlike permissions
  EXPECT_NE(why.find("run"), std::string::npos) << why;
  fs::create_directories(run_ / "other" / "metrics.jsonl");
  EXPECT_NE(test::error_of([&] { RunLog log(run_ / "other", -1); }).find("metrics.jsonl"), std::string::npos);
  ASSERT_EQ(::mkfifo((run_ / "fifo").c_str(), 0600), 0);
  EXPECT_FALSE(test::error_of([&] { AppendFile f(run_ / "fifo"); }).empty());
}

// A limit on the size of files stands for a full disk: the write stops half way with an error.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    ::getrlimit(RLIMIT_FSIZE, &before_);
    old_handler_ = ::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{bytes, before_.rlim_max};
    ::setrlimit(RLIMIT_FSIZE, &limit);
  }
  ~FileSizeLimit() {
    ::setrlimit(RLIMIT_FSIZE, &before_);
    ::signal(SIGXFSZ, old_handler_);
  }
  FileSizeLimit(const FileSizeLimit&) = delete;
  FileSizeLimit& operator=(const FileSizeLimit&) = delete;

 private:
  rlimit before_{};
  void (*old_handler_)(int) = SIG_DFL;
};

TEST_F(RunLogTest, AFullDiskIsToldOnceLosesOnlyTheRecordsThatDidNotFitAndTearsNone) {
  const auto long_record = [](int64_t step) { return MetricsRecord{step, 0, {{std::string(4000, 'x'), 1.0}}, {}}; };
  RunLog log(run_, -1);
  log.write(long_record(1));
  const std::string before = jsonl();
  ::testing::internal::CaptureStderr();
  {
    const FileSizeLimit full(before.size() + 1000);
    log.write(long_record(2));
    log.write(long_record(3));
  }
  const std::string told = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(told.begin(), told.end(), '\n'), 2) << told;  // one sentence for each of the two files
  EXPECT_NE(told.find("metrics.jsonl"), std::string::npos) << told;
  EXPECT_EQ(jsonl(), before);
  log.write(record(4));
  EXPECT_EQ(steps(jsonl()), (std::vector<int64_t>{1, 4}));
}

}  // namespace
}  // namespace fathom
