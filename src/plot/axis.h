// The scale of an axis: its range, ticks at round numbers, and their labels.
#pragma once
#include <string>
#include <vector>

namespace fathom {

struct Tick {
  double value;
  std::string label;  // empty: a grid line only
};

struct Axis {
  double low = 0, high = 1;  // low < high; of the logarithms (base 10) when logarithmic
  bool logarithmic = false;
  std::vector<Tick> ticks;  // values of the data

  // Where a value lies: 0 at low, 1 at high.
  double position(double value) const noexcept;
};

// An axis for values within [low, high], finite and at most 1e30 in size, with about n_ticks ticks at multiples of 1, 2
// or 5 times a power of ten. A range without width is widened. Labels share one style: 0.25, 1500, 20k, 3M, 4B, or
// 2e-4.
Axis linear_axis(double low, double high, int n_ticks);

// The same for positive values, on a logarithmic scale.
Axis logarithmic_axis(double low, double high);

// The least and greatest of `values` (NaN left out) that a picture should show: all of them, unless a few outliers
// would press the rest flat. {0, 1} when there is none.
struct ValueRange {
  double low, high;
  bool is_cut;  // greater values exist
};
ValueRange range_to_show(std::vector<double> values);

}  // namespace fathom
