// Curves before they are drawn: smoothed, and thinned to what a picture can show.
#pragma once
#include <cstdint>
#include <vector>

namespace fathom {

struct Point {
  double x, y;  // y NaN: a gap
};

// y as the mean of the `window` points around each (made odd), NaN left out. At the start the window shrinks to stay
// symmetric, so that a falling curve does not begin too low; at the end it is what is left of it. A gap stays a gap.
// Linear for any window, and sums only add: one huge value spoils no window but its own.
std::vector<Point> smoothed(const std::vector<Point>& points, int64_t window);

// At most about four points for each of `n_columns` columns between first_x and last_x: the first, least, greatest and
// last of each stretch inside one column, so that the picture stays the same. Gaps are kept. x must be finite.
std::vector<Point> thinned(const std::vector<Point>& points, double first_x, double last_x, int64_t n_columns);

}  // namespace fathom
