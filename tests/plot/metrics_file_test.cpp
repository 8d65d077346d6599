#include "plot/metrics_file.h"

#include <gtest/gtest.h>

#include <cmath>

#include "support/files.h"

namespace fathom {
namespace {

std::vector<double> steps(const MetricSeries* series) {
  std::vector<double> out;
  if (series != nullptr)
    for (const MetricSample& s : series->samples) out.push_back(s.step);
  return out;
}

TEST(ParseMetrics, SortsTheNumbersOfEveryRecordByName) {
  const RunMetrics m = parse_metrics(
      "{\"step\":1,\"tokens\":64,\"time\":5.5,\"loss\":2.5,\"load/layer_1\":[0.5,0.5],\"note\":\"text\"}\n"
      "{\"step\":2,\"tokens\":128,\"held_out/loss\":2}\n{\"step\":2,\"tokens\":128,\"time\":7,\"loss\":2}\r\n",
      "m");
  ASSERT_EQ(m.series.size(), 2u);
  EXPECT_EQ(m.series[0].name, "loss");
  EXPECT_EQ(m.arrays, std::vector<std::string>{"load/layer_1"});
  EXPECT_EQ(steps(m.find("loss")), (std::vector<double>{1, 2}));
  const MetricSample& first = m.find("loss")->samples[0];
  EXPECT_EQ(first.tokens, 64);
  EXPECT_EQ(first.time, 5.5);
  EXPECT_EQ(first.value, 2.5);
  EXPECT_TRUE(std::isnan(m.find("held_out/loss")->samples[0].time));
  EXPECT_EQ(m.find("note"), nullptr);
}

TEST(ParseMetrics, NullsAndNumbersBeyondAnyPictureAreGaps) {
  const RunMetrics m = parse_metrics("{\"step\":1,\"a\":null,\"b\":1e300}\n{\"step\":2,\"a\":3,\"b\":-1e30}\n", "m");
  EXPECT_TRUE(std::isnan(m.find("a")->samples[0].value));
  EXPECT_TRUE(std::isnan(m.find("b")->samples[0].value));
  EXPECT_EQ(m.find("b")->samples[1].value, -1e30);
}

TEST(ParseMetrics, ALineThatIsStillBeingWrittenIsLeftOut) {
  EXPECT_EQ(steps(parse_metrics("{\"step\":1,\"a\":1}\n{\"step\":2,\"a\":", "m").find("a")), std::vector<double>{1});
  EXPECT_TRUE(parse_metrics("", "m").series.empty());
}

TEST(ParseMetrics, ARepeatedPartReplacesWhatItRepeats) {
  const RunMetrics m =
      parse_metrics("{\"step\":1,\"a\":1}\n{\"step\":2,\"a\":2}\n{\"step\":3,\"a\":3}\n{\"step\":2,\"a\":20}\n", "m");
  EXPECT_EQ(steps(m.find("a")), (std::vector<double>{1, 2}));
  EXPECT_EQ(m.find("a")->samples[1].value, 20);
}

TEST(ParseMetrics, NamesTheLineThatIsNoRecord) {
  for (const std::string bad : {"", "x", "[]", "{}", "{\"step\":\"1\"}", "{\"step\":0.5}", "{\"step\":1,\"step\":2}"})
    EXPECT_TRUE(test::contains(test::error_of([&] { parse_metrics("{\"step\":1}\n" + bad + "\n", "m"); }), "m, line 2"))
        << bad;
}

TEST(ReadRunMetrics, TakesAFolderOrItsFileAndIsNamedAfterTheFolder) {
  const test::TempFolder folder;
  std::filesystem::create_directories(folder / "wide");
  test::write_text(folder / "wide/metrics.jsonl", "{\"step\":1,\"a\":1}\n");
  EXPECT_EQ(read_run_metrics(folder / "wide").run, "wide");
  EXPECT_EQ(read_run_metrics(folder / "wide/").run, "wide");
  EXPECT_EQ(read_run_metrics(folder / "wide/metrics.jsonl").run, "wide");
  EXPECT_TRUE(test::contains(test::error_of([&] { read_run_metrics(folder.path()); }), "has no metrics.jsonl"));
  EXPECT_TRUE(test::contains(test::error_of([&] { read_run_metrics(folder / "none"); }), "cannot be opened"));
}

}  // namespace
}  // namespace fathom
