#include "plot/axis.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace fathom {
namespace {

std::vector<std::string> labels(const Axis& axis) {
  std::vector<std::string> out;
  for (const Tick& t : axis.ticks) out.push_back(t.label);
  return out;
}
using Labels = std::vector<std::string>;

TEST(LinearAxis, HasTicksAtRoundNumbersInsideTheRange) {
  EXPECT_EQ(labels(linear_axis(0, 10, 5)), (Labels{"0", "2", "4", "6", "8", "10"}));
  EXPECT_EQ(labels(linear_axis(2.13, 3.9, 4)), (Labels{"2.5", "3", "3.5"}));
  EXPECT_EQ(labels(linear_axis(-0.3, 0.3, 3)), (Labels{"-0.2", "0", "0.2"}));
  EXPECT_EQ(labels(linear_axis(0, 4.2e-4, 4)), (Labels{"0", "1e-4", "2e-4", "3e-4", "4e-4"}));
  EXPECT_EQ(labels(linear_axis(0, 3e7, 3)), (Labels{"0", "10M", "20M", "30M"}));
  EXPECT_EQ(labels(linear_axis(9000, 11000, 4)), (Labels{"9k", "9.5k", "10k", "10.5k", "11k"}));
  EXPECT_EQ(labels(linear_axis(0, 2000, 4)), (Labels{"0", "500", "1000", "1500", "2000"}));
}

TEST(LinearAxis, HasSomeTicksForEveryRangeThereIs) {
  for (const double center : {0.0, 1e-30, 1.0, 123456789.0, 1e30, -1e30})
    for (const double width : {0.0, 1e-30, 1e-9, 1.0, 1e6, 1e29})
      for (const int n_ticks : {0, 1, 5, 40}) {
        const Axis axis = linear_axis(center, center + width, n_ticks);
        EXPECT_LT(axis.low, axis.high);
        EXPECT_LE(axis.ticks.size(), 2 * static_cast<size_t>(n_ticks) + 4) << center << " " << width;
        EXPECT_FALSE(n_ticks >= 5 && axis.ticks.empty()) << center << " " << width;
        for (const Tick& t : axis.ticks) {
          EXPECT_GE(axis.position(t.value), -1e-4);
          EXPECT_LE(axis.position(t.value), 1 + 1e-4);
        }
      }
}

TEST(LogarithmicAxis, HasTicksAtOneTwoFiveAndThenAtPowersOfTen) {
  EXPECT_EQ(labels(logarithmic_axis(0.3, 30)), (Labels{"0.5", "1", "2", "5", "10", "20"}));
  EXPECT_EQ(labels(logarithmic_axis(1, 1e5)), (Labels{"1", "10", "100", "1000", "10000", "100000"}));
  EXPECT_NEAR(logarithmic_axis(1, 100).position(10), 0.5, 1e-12);
  EXPECT_LT(logarithmic_axis(3, 3).low, logarithmic_axis(3, 3).high);
  EXPECT_LE(logarithmic_axis(1e-30, 1e30).ticks.size(), 62u);
}

TEST(RangeToShow, LeavesOutWhatWouldPressTheRestFlatAndSaysSo) {
  std::vector<double> values;
  for (int i = 0; i < 200; ++i) values.push_back(1 + 0.01 * (i % 100));
  EXPECT_EQ(range_to_show(values).high, 1.99);
  EXPECT_FALSE(range_to_show(values).is_cut);
  values[7] = 1e6;
  values[8] = std::numeric_limits<double>::quiet_NaN();
  const ValueRange cut = range_to_show(values);
  EXPECT_TRUE(cut.is_cut);
  EXPECT_LT(cut.high, 4);
  EXPECT_EQ(cut.low, 1);
  EXPECT_FALSE(range_to_show({1, 1, 1, 1e6}).is_cut);  // of few values none is an outlier
  EXPECT_EQ(range_to_show({}).high, 1);
}

}  // namespace
}  // namespace fathom
