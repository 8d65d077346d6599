// A figure of stacked panels with curves over a common quantity.
#pragma once
#include <string>
#include <vector>

#include "plot/canvas.h"
#include "plot/curve.h"

namespace fathom {

struct Curve {
  Color color;
  bool dashed = false, with_dots = false;  // with_dots: a dot at every point
  std::vector<Point> points;
  std::vector<Point> behind = {};  // thin and pale under the curve: what it is the mean of; may be empty
};

struct Panel {
  std::string title;
  std::vector<Curve> curves;
  bool may_be_logarithmic = false;  // when all values are positive and span more than a factor of 50
  bool from_zero = false;           // the scale begins at 0 (or below)
  // What solid and dashed curves mean, when the panel has both.
  std::string solid_means = "", dashed_means = "";  // NOLINT(readability-redundant-string-init): they may be left out
  bool own_x = false;          // its x has a range of its own, begins at 0, and is named in the title
  bool logarithmic_x = false;  // with own_x: its x is positive, on a logarithmic scale from the least value on
};

struct LegendEntry {
  std::string name;
  Color color;
};

struct Figure {
  std::string x_label, note;        // note: small, at the bottom
  std::vector<LegendEntry> legend;  // names longer than the figure is wide are cut
  std::vector<Panel> panels;        // the first one wide, the others two in a row
};

// Colours that people with any common colour vision tell apart on white (Okabe and Ito 2008, without its yellow); after
// seven they repeat.
Color curve_color(size_t i) noexcept;

struct ImageSize {
  int64_t width = 0, height = 0;  // pixels; 0: chosen (height from the number of panels)
};

// The image file. Fonts and lines grow with the width. resource Error when there is no memory for it.
std::string draw_figure(const Figure& figure, ImageFormat format, ImageSize size);

}  // namespace fathom
