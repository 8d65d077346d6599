#include "measure/speed_figure.h"

#include <gtest/gtest.h>

#include "support/files.h"
#include "support/fontconfig_leaks.h"

namespace fathom {
namespace {

BenchReport report() {
  BenchReport r;
  EngineRun one, two;
  one.threads = 1;
  two.threads = 2;
  two.timings = {{{WorkKind::prefill, 512, 100, 1}, {2, 4, 8}},
                 {{WorkKind::prefill, 512, 0, 1}, {2}},
                 {{WorkKind::decode, 10, 0, 1}, {1}},
                 {{WorkKind::decode, 10, 100, 1}, {2}},
                 {{WorkKind::decode, 10, 0, 8}, {4}}};
  r.runs = {one, two};
  r.peer = "llama.cpp v9 (AVX2 = 1)";
  r.peer_runs = {one, two};
  return r;
}

TEST(SpeedFigure, PanelsByDepthAndBySequencesWithACurveForEachEngine) {
  const Figure f = speed_figure({{"fathom", report()}});
  ASSERT_EQ(f.legend.size(), 2u);
  EXPECT_EQ(f.legend[0].name, "fathom, 2 threads");
  EXPECT_EQ(f.legend[1].name, "llama.cpp v9, 2 threads");
  ASSERT_EQ(f.panels.size(), 3u);
  for (const Panel& p : f.panels) EXPECT_EQ(p.curves.size(), 2u);
  const std::vector<Point>& decode = f.panels[0].curves[0].points;
  ASSERT_EQ(decode.size(), 2u);
  EXPECT_EQ(decode[0].x, 0);
  EXPECT_EQ(decode[0].y, 10);
  EXPECT_EQ(decode[1].x, 100);
  EXPECT_EQ(decode[1].y, 5);
  EXPECT_EQ(f.panels[1].curves[0].points[1].y, 128);  // the median of three
  EXPECT_EQ(f.panels[2].curves[0].points[1].x, 8);
  EXPECT_EQ(f.panels[2].curves[0].points[1].y, 20);
  EXPECT_NE(draw_figure(f, ImageFormat::svg, {}).find("<svg"), std::string::npos);
}

// A work of 40 tokens that reads 20 bytes and makes 300 operations: at 10 bytes and 100 operations a second it takes
// three seconds at least.
TEST(SpeedFigure, LimitsAreDrawnBesideAndBatchesByDepth) {
  BenchReport r = report();
  EngineRun& run = r.runs[1];
  run.timings.push_back({{WorkKind::decode, 10, 100, 4}, {8}});
  run.costs.assign(run.timings.size(), PartCosts{Cost{.weight_bytes = 15, .cache_bytes = 5, .flops = 300}});
  run.limits = MachineLimits{10, 100, 50};
  const Figure f = speed_figure({{"fathom", r}});
  ASSERT_EQ(f.panels.size(), 4u);
  const Panel& deep = f.panels[3];
  EXPECT_EQ(deep.title, "tokens/s by batch, after 100");
  EXPECT_TRUE(deep.logarithmic_x);
  ASSERT_EQ(deep.curves.size(), 2u);  // measured and its limit; the peer has one number of sequences there
  EXPECT_TRUE(deep.curves[1].dashed);
  EXPECT_DOUBLE_EQ(deep.curves[1].points[1].y, 40.0 / 3);
  run.limits->int8_ops_per_second = 0;  // not known: float32
  EXPECT_DOUBLE_EQ(speed_figure({{"fathom", r}}).panels[3].curves[1].points[1].y, 40.0 / 6);
  run.limits.reset();
  EXPECT_EQ(speed_figure({{"fathom", r}}).panels[3].curves.size(), 1u);
  EXPECT_NE(draw_figure(f, ImageFormat::svg, {}).find("<svg"), std::string::npos);
}

TEST(SpeedFigure, NothingToDrawIsRefused) {
  EXPECT_THROW(speed_figure({}), Error);
  EXPECT_THROW(speed_figure({{"empty", BenchReport{}}}), Error);
}

TEST(Report, WhatIsNoReportIsRefused) {
  EXPECT_THROW(report_from_json(json::object{{"model", 1}}, "file"), Error);
  json::value v = to_json(report());
  v.at("runs").at(1).at("works").at(0).at("work") = "dance:5";
  EXPECT_THROW(report_from_json(v, "file"), Error);
}

}  // namespace
}  // namespace fathom
