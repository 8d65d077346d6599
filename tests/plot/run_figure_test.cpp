#include "plot/run_figure.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "support/files.h"
#include "support/fontconfig_leaks.h"

namespace fathom {
namespace {

// Loss 3 - step / 1000, a gap at step 40, held-out values at every tenth step.
RunMetrics run_of(int64_t n_records, const std::string& name) {
  std::string text;
  for (int64_t s = 1; s <= n_records; ++s) {
    const std::string loss = s == 40 ? "null" : fmt::format("{}", 3 - static_cast<double>(s) / 1000);
    text += fmt::format(
        "{{\"step\":{},\"tokens\":{},\"time\":{},\"loss\":{},\"learning_rate\":0.001,\"gradient_norm\":{},"
        "\"load/layer_1_max_over_mean\":1.5,\"load/layer_2_max_over_mean\":{},\"load/layer_1\":[0.5,0.5]}}\n",
        s, 100 * s, 1000 + 60 * s, loss, 0.5 + 30.0 / static_cast<double>(s), s == 7 ? 2.5 : 1.25);
    if (s % 10 == 0) text += fmt::format("{{\"step\":{},\"held_out/loss\":3,\"held_out/bits_per_byte\":1.2}}\n", s);
  }
  RunMetrics run = parse_metrics(text, "test");
  run.run = name;
  return run;
}

TEST(RunFigure, HasThePanelsOfWhatTheRunsReport) {
  const Figure f = run_figure({run_of(200, "a"), run_of(60, "b")}, {});
  ASSERT_EQ(f.panels.size(), 5u);
  EXPECT_EQ(f.legend.size(), 2u);
  const Panel& loss = f.panels[0];
  ASSERT_EQ(loss.curves.size(), 4u);  // training of both, held-out of both
  EXPECT_FALSE(loss.curves[1].dashed);
  EXPECT_TRUE(loss.curves[2].dashed);
  EXPECT_EQ(loss.solid_means, "training");
  EXPECT_EQ(loss.curves[0].points.size(), 200u);
  EXPECT_TRUE(std::isnan(loss.curves[0].points[39].y));
  EXPECT_FALSE(loss.curves[0].behind.empty());
  EXPECT_TRUE(f.panels[2].curves[0].behind.empty());  // the learning rate is what it is
  EXPECT_EQ(run_figure({parse_metrics("{\"step\":1,\"learning_rate\":1}\n", "m")}, {}).panels.size(), 1u);
}

TEST(RunFigure, TheLoadPanelIsTheWorstLayerOfEachStep) {
  const Figure f = run_figure({run_of(30, "a")}, {.metrics = {}, .smooth = 1});
  const std::vector<Point>& load = f.panels.back().curves.at(0).points;
  EXPECT_EQ(load.at(6).y, 2.5);
  EXPECT_EQ(load.at(7).y, 1.5);
}

TEST(RunFigure, DrawsOverStepsTokensOrTimeSinceTheStart) {
  const std::vector<RunMetrics> runs = {run_of(200, "a")};
  const auto last_x = [&](PlotX x) {
    return run_figure(runs, {.x = x, .metrics = {}}).panels[0].curves[0].points.back().x;
  };
  EXPECT_EQ(last_x(PlotX::steps), 200);
  EXPECT_EQ(last_x(PlotX::tokens), 20000);
  EXPECT_NEAR(last_x(PlotX::time), 199.0 / 60, 1e-9);  // 199 minutes are more than two hours
  EXPECT_EQ(run_figure(runs, {.x = PlotX::time, .metrics = {}}).x_label, "time, hours");
}

TEST(RunFigure, ChosenMetricsAreOnePanelEachAndAnUnknownOneListsThoseThereAre) {
  const std::vector<RunMetrics> runs = {run_of(20, "a")};
  EXPECT_EQ(run_figure(runs, {.metrics = {"gradient_norm", "load/layer_2_max_over_mean"}}).panels.size(), 2u);
  const std::string why = test::error_of([&] { run_figure(runs, {.metrics = {"lost"}}); });
  EXPECT_TRUE(test::contains(why, "lost"));
  EXPECT_TRUE(test::contains(why, "gradient_norm"));
  EXPECT_TRUE(test::contains(test::error_of([&] { run_figure(runs, {.metrics = {"load/layer_1"}}); }), "list"));
  EXPECT_TRUE(test::contains(test::error_of([&] { run_figure({RunMetrics{}}, {}); }), "nothing to draw"));
}

TEST(DrawFigure, MakesFilesOfBothFormatsWhateverTheRunHolds) {
  std::vector<RunMetrics> runs = {run_of(1, "one record"),
                                  run_of(3000, "x" + std::string(399, 'y') + "\xc3\xa4 and more"),
                                  run_of(45, std::string(501, '\xe4'))};
  runs.push_back(parse_metrics("{\"step\":9000000000000000000,\"loss\":-1e30}\n{\"step\":-5,\"loss\":null}\n", "m"));
  for (size_t n = 1; n <= runs.size(); ++n) {
    const Figure figure = run_figure({runs.begin(), runs.begin() + static_cast<int64_t>(n)}, {});
    EXPECT_EQ(draw_figure(figure, ImageFormat::png, {}).substr(0, 8), "\x89PNG\r\n\x1a\n");
    const std::string svg = draw_figure(figure, ImageFormat::svg, {.width = 300, .height = 200});
    EXPECT_TRUE(test::contains(svg.substr(0, 300), "<svg"));
    EXPECT_TRUE(test::contains(svg.substr(svg.size() - 8), "</svg>"));
    EXPECT_EQ(svg.find("nan"), std::string::npos);
    EXPECT_EQ(svg.find("inf"), std::string::npos);
  }
}

// Width and height of a PNG are the big-endian numbers at bytes 16 and 20.
TEST(DrawFigure, HasTheSizeAskedFor) {
  const std::string png =
      draw_figure(run_figure({run_of(50, "a")}, {}), ImageFormat::png, {.width = 700, .height = 400});
  const auto number = [&](size_t at) {
    return static_cast<uint8_t>(png[at + 2]) * 256 + static_cast<uint8_t>(png[at + 3]);
  };
  EXPECT_EQ(number(16), 700);
  EXPECT_EQ(number(20), 400);
}

// A million records must not make a file of a million lines.
TEST(DrawFigure, TheSizeOfAFigureDoesNotGrowWithTheRun) {
  RunMetrics run = run_of(10, "long");
  MetricSeries& loss = run.series[0];
  ASSERT_EQ(loss.name, "loss");
  for (int i = 11; i < 300000; ++i) loss.samples.push_back({i * 1.0, i * 1.0, i * 1.0, std::sin(i * 0.7)});
  const Figure figure = run_figure({run}, {.metrics = {"loss"}});
  EXPECT_LT(draw_figure(figure, ImageFormat::svg, {}).size(), 400000u);
}

}  // namespace
}  // namespace fathom
