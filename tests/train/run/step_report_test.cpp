#include "train/run/step_report.h"

#include <gtest/gtest.h>

#include <cmath>

#include <string>
#include <utility>
#include <vector>

#include "base/json/json.h"

namespace fathom {
namespace {

StepResult step(double scale) {
  StepResult r;
  r.step = static_cast<int64_t>(123 * scale);
  r.tokens = 1e6 * scale;
  r.loss = 2.3456 * scale;
  r.gradient_norm = 0.9 * scale;
  r.learning_rate = 2.4e-4;
  r.balance.expert = 0.0123 * scale;
  r.seconds = 0.5;
  r.step_tokens = static_cast<int64_t>(4096 * scale);
  r.expert_load = {{0.5, 0.5, 0.0, 0.0}};
  return r;
}

TEST(StepReport, NoLineIsLongerThanEightyColumns) {
  for (double scale : {1.0, 100.0, 1e4, 1e6})
    for (bool skipped : {false, true}) {
      StepResult r = step(scale);
      r.skipped = skipped;
      for (const StepSpeed& speed : {speed_of(r, 1e6, 1e12), speed_of(r, 1e12, 0)}) {
        const std::string text = step_text(r, speed, 8.1e12 / speed.tokens_per_second);
        for (size_t begin = 0, end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1)
          EXPECT_LE(end - begin, 80u) << text;
      }
    }
}

TEST(StepReport, AnOrdinaryStepIsTwoLines) {
  const StepResult r = step(1);
  EXPECT_EQ(step_text(r, speed_of(r, 1e6, 1e11), 244.1),
            "step    123  tokens 1.00M  loss 2.3456  |g| 0.9  lr 2.400e-04  4:04 left\n"
            "             8.19k tokens/s  8.2 % of peak  load 2.00x (2 dead)  balance 0.0123\n");
}

TEST(StepReport, CountsHaveThreeDigitsAndNoFalseOnes) {
  for (const auto& [tokens, text] : std::vector<std::pair<double, std::string>>{{999, "tokens   999"},
                                                                                {1024, "tokens 1.02k"},
                                                                                {98304, "tokens 98.3k"},
                                                                                {104448, "tokens  104k"},
                                                                                {99960, "tokens  100k"},
                                                                                {999600, "tokens 1.00M"}}) {
    StepResult r = step(1);
    r.tokens = tokens;
    EXPECT_NE(step_text(r, speed_of(r, 1e6, 1e11), 1).find(text + "  loss"), std::string::npos)
        << step_text(r, speed_of(r, 1e6, 1e11), 1);
  }
}

// One slow step of a machine that others use too is no reason to promise hours.
TEST(StepReport, TheTimeLeftFollowsTheMeanOfTheSteps) {
  Pace pace;
  StepResult r = step(1);
  r.step_tokens = 1000;
  r.seconds = 1;
  for (int i = 0; i < 30; ++i) pace.add(r);
  EXPECT_NEAR(pace.seconds_for(1e5), 100, 1e-9);
  r.seconds = 3;
  pace.add(r);
  EXPECT_NEAR(pace.seconds_for(1e5), 110, 1e-9);
  for (int i = 0; i < 200; ++i) pace.add(r);
  EXPECT_NEAR(pace.seconds_for(1e5), 300, 1);
  EXPECT_EQ(pace.seconds_for(-5), 0);
}

TEST(StepReport, NumbersThatAreNotFiniteMakeValidJson) {
  StepResult r = step(1);
  r.loss = NAN;
  r.gradient_norm = INFINITY;
  r.expert_load = {{NAN, NAN}};
  const json::value v = parse_json(metrics_line(record_of(r, speed_of(r, 1e6, 0)), 1.5), "line");
  EXPECT_TRUE(v.at("loss").is_null());
  EXPECT_TRUE(v.at("gradient_norm").is_null());
  EXPECT_TRUE(v.at("percent_of_peak").is_null());
  EXPECT_TRUE(v.at("load/layer_0").at(0).is_null());
}

}  // namespace
}  // namespace fathom
