#include "plot/curve.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/random.h"

namespace fathom {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();

std::vector<Point> noise(int64_t n) {
  std::vector<Point> out;
  for (int64_t i = 0; i < n; ++i) {
    const double u = uniform01(7, 0, static_cast<uint64_t>(i));
    out.push_back({static_cast<double>(i), u < 0.1 ? kNaN : u});
  }
  return out;
}

// The definition: the mean of what is there within `half` of i, on both sides alike at the start.
double plain_mean(const std::vector<Point>& points, int64_t i, int64_t half) {
  const auto n = static_cast<int64_t>(points.size());
  half = std::min(half, i);
  double sum = 0, count = 0;
  for (int64_t j = i - half; j <= std::min(n - 1, i + half); ++j)
    if (const double y = points[static_cast<size_t>(j)].y; !std::isnan(y)) {
      sum += y;
      count += 1;
    }
  return sum / count;
}

TEST(Smoothed, IsTheMeanOfTheWindowForEveryLengthAndWindow) {
  for (const int64_t n : {1, 2, 3, 4, 7, 20, 101})
    for (const int64_t window : {1, 2, 3, 6, 7, 50, 1000}) {
      const std::vector<Point> points = noise(n);
      const std::vector<Point> got = smoothed(points, window);
      ASSERT_EQ(got.size(), points.size());
      const int64_t half = std::min(window / 2, (n - 1) / 2);
      for (int64_t i = 0; i < n; ++i) {
        const Point& p = got[static_cast<size_t>(i)];
        EXPECT_EQ(p.x, points[static_cast<size_t>(i)].x);
        const bool is_gap = std::isnan(points[static_cast<size_t>(i)].y);
        EXPECT_EQ(std::isnan(p.y), is_gap);
        if (!is_gap) {
          EXPECT_NEAR(p.y, plain_mean(points, i, half), 1e-13)
              << n << " " << window << " " << i;  // 101 sums of at most 1
        }
      }
    }
}

TEST(Smoothed, AHugeValueSpoilsNoOtherWindow) {
  std::vector<Point> points(100);
  for (size_t i = 0; i < points.size(); ++i) points[i] = {static_cast<double>(i), i == 50 ? 1e30 : 1.0};
  const std::vector<Point> got = smoothed(points, 5);
  for (size_t i = 0; i < points.size(); ++i)
    if (i < 48 || i > 52) {
      EXPECT_EQ(got[i].y, 1.0) << i;
    }
}

TEST(Thinned, KeepsTheExtremesOfEveryColumnAndFewPoints) {
  std::vector<Point> points;
  for (int i = 0; i < 100000; ++i) points.push_back({i * 1.0, uniform01(3, 0, static_cast<uint64_t>(i))});
  points[54321].y = 9;
  points[99999].y = -4;
  const std::vector<Point> got = thinned(points, 0, 100000, 100);
  EXPECT_LE(got.size(), 400u);
  EXPECT_TRUE(std::is_sorted(got.begin(), got.end(), [](const Point& a, const Point& b) { return a.x < b.x; }));
  for (int column = 0; column < 100; ++column) {
    const auto inside = [&](const std::vector<Point>& all) {
      double low = 1e9, high = -1e9;
      for (const Point& p : all)
        if (p.x >= column * 1000.0 && p.x < column * 1000.0 + 1000) {
          low = std::min(low, p.y);
          high = std::max(high, p.y);
        }
      return std::pair(low, high);
    };
    EXPECT_EQ(inside(got), inside(points)) << column;
  }
}

TEST(Thinned, GapsStayAndFewPointsAreLeftAlone) {
  const std::vector<Point> points = {{0, kNaN}, {1, 1}, {2, kNaN}, {3, kNaN}, {4, 2}, {5, 3}};
  const std::vector<Point> got = thinned(points, 0, 0, 10);
  ASSERT_EQ(got.size(), 4u);  // a gap before the first point, and a second one behind a gap, say nothing
  EXPECT_EQ(got[0].x, 1);
  EXPECT_TRUE(std::isnan(got[1].y));
  EXPECT_EQ(got[3].x, 5);
  EXPECT_TRUE(thinned({}, 0, 1, 10).empty());
}

}  // namespace
}  // namespace fathom
