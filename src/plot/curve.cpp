#include "plot/curve.h"

#include <algorithm>
#include <array>
#include <cmath>

namespace fathom {
namespace {

struct Sum {
  double total = 0;
  int64_t n = 0;
  Sum& operator+=(const Sum& other) {
    total += other.total;
    n += other.n;
    return *this;
  }
};

Sum of(const Point& p) { return std::isnan(p.y) ? Sum{} : Sum{p.y, 1}; }

// Appends the points of one column, [first, last), which has no gap inside.
void append_column(std::vector<Point>& out, const std::vector<Point>& points, size_t first, size_t last) {
  if (last - first <= 4) {
    out.insert(out.end(), points.begin() + static_cast<int64_t>(first), points.begin() + static_cast<int64_t>(last));
    return;
  }
  const auto below = [&](size_t a, size_t b) { return points[a].y < points[b].y; };
  std::array<size_t, 4> keep = {first, first, first, last - 1};
  for (size_t i = first; i < last; ++i) {
    keep[1] = std::min(keep[1], i, below);
    keep[2] = std::max(keep[2], i, below);
  }
  std::sort(keep.begin(), keep.end());
  const auto end = std::unique(keep.begin(), keep.end());
  std::for_each(keep.begin(), end, [&](size_t i) { out.push_back(points[i]); });
}

}  // namespace

// The sum over a window of w points is the sum to the end of the block of w in which it starts, and the sum from the
// beginning of the block in which it ends (van Herk, Pattern Recognition Letters 13, 1992, for maxima).
std::vector<Point> smoothed(const std::vector<Point>& points, int64_t window) {
  const auto n = static_cast<int64_t>(points.size());
  const int64_t half = std::min(window / 2, (n - 1) / 2), w = 2 * half + 1;
  if (half <= 0) return points;
  std::vector<Sum> from_block(points.size()), to_block(points.size()), from_start(points.size()), to_end(points.size());
  const auto at = [](auto& v, int64_t i) -> auto& { return v[static_cast<size_t>(i)]; };
  for (int64_t i = 0; i < n; ++i) {
    at(from_block, i) = at(from_start, i) = of(at(points, i));
    if (i % w != 0) at(from_block, i) += at(from_block, i - 1);
    if (i > 0) at(from_start, i) += at(from_start, i - 1);
  }
  for (int64_t i = n; i-- > 0;) {
    at(to_block, i) = at(to_end, i) = of(at(points, i));
    if (i + 1 < n && (i + 1) % w != 0) at(to_block, i) += at(to_block, i + 1);
    if (i + 1 < n) at(to_end, i) += at(to_end, i + 1);
  }
  std::vector<Point> out = points;
  for (int64_t i = 0; i < n; ++i) {
    if (std::isnan(at(points, i).y)) continue;
    Sum sum;
    if (i < half) {
      sum = at(from_start, 2 * i);
    } else if (i + half >= n) {
      sum = at(to_end, i - half);
    } else {
      sum = at(from_block, i + half);
      if ((i - half) % w != 0) sum += at(to_block, i - half);
    }
    at(out, i).y = sum.total / static_cast<double>(sum.n);
  }
  return out;
}

std::vector<Point> thinned(const std::vector<Point>& points, double first_x, double last_x, int64_t n_columns) {
  const double per_x = last_x > first_x ? static_cast<double>(n_columns) / (last_x - first_x) : 0;
  const auto column = [&](const Point& p) { return std::floor((p.x - first_x) * per_x); };
  std::vector<Point> out;
  for (size_t i = 0; i < points.size();) {
    size_t end = i + 1;
    if (std::isnan(points[i].y)) {
      if (!out.empty() && !std::isnan(out.back().y)) out.push_back(points[i]);
    } else {
      while (end < points.size() && !std::isnan(points[end].y) && column(points[end]) == column(points[i])) ++end;
      append_column(out, points, i, end);
    }
    i = end;
  }
  return out;
}

}  // namespace fathom
