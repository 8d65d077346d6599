#include "plot/figure.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "plot/axis.h"

namespace fathom {
namespace {

// All lengths are in units; a figure is 1000 units wide.
constexpr double kWidth = 1000, kMargin = 16, kLegendRow = 20, kTitle = 26, kXLabels = 22, kFooter = 30;
constexpr double kFirstHeight = 310, kRowHeight = 190, kColumnGap = 22;

constexpr Color kText = {0.2, 0.2, 0.2}, kSoftText = {0.42, 0.42, 0.42}, kGrid = {0.88, 0.88, 0.88};
constexpr Color kFrame = {0.6, 0.6, 0.6}, kGrey = {0.72, 0.72, 0.72};

Color mixed(const Color& a, const Color& b, double share_of_b) {
  const auto mix = [&](double x, double y) { return x + share_of_b * (y - x); };
  return {mix(a.red, b.red), mix(a.green, b.green), mix(a.blue, b.blue)};
}

struct Bounds {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  void add(double v) {
    low = std::min(low, v);
    high = std::max(high, v);
  }
};

void add_x(const Panel& panel, Bounds& b) {
  for (const Curve& curve : panel.curves)
    for (const Point& p : curve.points) b.add(p.x);
}

// Of the panels that share their x. Points that are all one: the range is widened by the axis.
Bounds x_bounds(const Figure& figure) {
  Bounds b;
  for (const Panel& panel : figure.panels)
    if (!panel.own_x) add_x(panel, b);
  return b.low <= b.high ? b : Bounds{0, 1};
}

Axis spaced_axis(const Bounds& b, int n_ticks) {
  const double space = 0.01 * (b.high - b.low);
  return linear_axis(b.low - space, b.high + space, n_ticks);
}

Axis own_x_axis(const Panel& panel, int n_ticks) {
  Bounds b = panel.logarithmic_x ? Bounds{} : Bounds{0, 0};
  add_x(panel, b);
  if (panel.logarithmic_x) return logarithmic_axis(b.low / 1.05, b.high * 1.05);
  return spaced_axis(b, n_ticks);
}

struct VerticalAxis {
  Axis axis;
  bool is_cut;
};

VerticalAxis y_axis(const Panel& panel, double height) {
  std::vector<double> values;
  Bounds all;
  for (const Curve& curve : panel.curves)
    for (const auto* points : {&curve.points, &curve.behind})
      for (const Point& p : *points) {
        values.push_back(p.y);
        if (!std::isnan(p.y)) all.add(p.y);
      }
  if (panel.may_be_logarithmic && all.low > 0 && all.high > 50 * all.low)
    return {logarithmic_axis(all.low / 1.1, all.high * 1.1), false};
  const ValueRange range = range_to_show(std::move(values));
  const double low = panel.from_zero ? std::min(0.0, range.low) : range.low, space = 0.05 * (range.high - low);
  const bool floor_is_zero = low >= 0 && low - space < 0;  // nothing positive is drawn with negative labels
  return {linear_axis(floor_is_zero ? 0 : low - space, range.high + space, static_cast<int>(height / 32)),
          range.is_cut};
}

class Drawer {
 public:
  Drawer(Canvas& canvas, const Figure& figure, double height) : c_(canvas), figure_(figure), height_(height) {}

  void draw() {
    const double top = legend();
    const auto n = static_cast<double>(figure_.panels.size());
    const double rows = std::ceil((n - 1) / 2), bottom = height_ - kFooter;
    const double unit = (bottom - top) / (kFirstHeight + rows * kRowHeight);
    x_bounds_ = x_bounds(figure_);
    for (size_t i = 0; i < figure_.panels.size(); ++i) {
      const size_t row = (i + 1) / 2;
      const bool wide = i == 0 || (i % 2 == 1 && i + 1 == figure_.panels.size());
      const double half = (kWidth - 2 * kMargin - kColumnGap) / 2;
      const Rect box{kMargin + (!wide && i % 2 == 0 ? half + kColumnGap : 0),
                     row == 0 ? top : top + unit * (kFirstHeight + static_cast<double>(row - 1) * kRowHeight),
                     wide ? kWidth - 2 * kMargin : half, unit * (row == 0 ? kFirstHeight : kRowHeight)};
      panel(figure_.panels[i], box);
    }
    footer();
  }

  static double legend_height(Canvas& canvas, const Figure& figure) { return Drawer(canvas, figure, 0).legend(); }

 private:
  // Returns where it ends.
  double legend() {
    double x = kMargin, y = kMargin + 8;
    for (const LegendEntry& entry : figure_.legend) {
      const TextStyle style{.size = 13, .bold = false, .align = Align::left, .color = kText};
      const std::string name = fitted(entry.name, kWidth - 2 * kMargin - 40, style);
      const double width = 32 + c_.text_width(name, style) + 24;
      if (x > kMargin && x + width > kWidth - kMargin) {
        x = kMargin;
        y += kLegendRow;
      }
      c_.line(x, y - 4, x + 24, y - 4, {.color = entry.color, .width = 3});
      c_.text(x + 31, y, name, style);
      x += width;
    }
    return y + 8;
  }

  std::string fitted(std::string text, double width, const TextStyle& style) {
    if (text.size() > 400) text.resize(400);
    if (c_.text_width(text, style) <= width) return text;
    const auto cut = [&] {  // a whole character
      while (!text.empty() && (static_cast<unsigned char>(text.back()) & 0xc0) == 0x80) text.pop_back();
      if (!text.empty()) text.pop_back();
    };
    do cut();
    while (!text.empty() && c_.text_width(text + "...", style) > width);
    return text + "...";
  }

  void panel(const Panel& p, const Rect& box) {
    const TextStyle labels{.size = 11, .bold = false, .align = Align::right, .color = kSoftText};
    const double height = box.height - kTitle - kXLabels;
    const VerticalAxis y = y_axis(p, height);
    double label_width = 24;
    for (const Tick& t : y.axis.ticks) label_width = std::max(label_width, c_.text_width(t.label, labels));
    const Rect area{box.x + label_width + 8, box.y + kTitle, box.width - label_width - 8, height};
    const auto n_ticks = static_cast<int>(area.width / 75);
    const Axis x = p.own_x ? own_x_axis(p, n_ticks) : spaced_axis(x_bounds_, n_ticks);
    title(p, box, area, y.is_cut);
    grid(area, x, y.axis, labels);
    for (const Curve& curve : p.curves) behind(curve, area, x, y.axis, p.curves.size());
    for (const Curve& curve : p.curves) front(curve, area, x, y.axis);
    c_.frame(area, {.color = kFrame, .width = 1});
  }

  void title(const Panel& p, const Rect& box, const Rect& area, bool is_cut) {
    const TextStyle bold{.size = 13, .bold = true, .align = Align::left, .color = kText};
    const TextStyle soft{.size = 11, .bold = false, .align = Align::left, .color = kSoftText};
    const double y = box.y + kTitle - 8;
    double right = box.x + box.width;
    for (const auto& [dashed, meaning] : {std::pair(true, &p.dashed_means), std::pair(false, &p.solid_means)}) {
      if (meaning->empty()) continue;
      right -= c_.text_width(*meaning, soft);
      c_.text(right, y, *meaning, soft);
      c_.line(right - 34, y - 4, right - 7, y - 4, {.color = kSoftText, .width = 2, .dashed = dashed});
      const auto dotted = [dashed = dashed](const Curve& c) { return c.dashed == dashed && c.with_dots; };
      if (std::ranges::any_of(p.curves, dotted)) c_.dot(right - 20, y - 4, 3, kSoftText);
      right -= 52;
    }
    const std::string text = fitted(p.title, right - area.x, bold);
    c_.text(area.x, y, text, bold);
    if (is_cut) c_.text(area.x + c_.text_width(text, bold) + 10, y, "(some values lie above)", soft);
  }

  void grid(const Rect& a, const Axis& x, const Axis& y, const TextStyle& labels) {
    const Stroke stroke{.color = kGrid, .width = 1};
    for (const Tick& t : y.ticks) {
      const double at = a.y + a.height * (1 - y.position(t.value));
      c_.line(a.x, at, a.x + a.width, at, stroke);
      c_.text(a.x - 6, at + 4, t.label, labels);
    }
    TextStyle centered = labels;
    centered.align = Align::center;
    for (const Tick& t : x.ticks) {
      const double at = a.x + a.width * x.position(t.value);
      c_.line(at, a.y, at, a.y + a.height, stroke);
      c_.text(at, a.y + a.height + 15, t.label, centered);
    }
  }

  static std::vector<Point> placed(const std::vector<Point>& points, const Rect& a, const Axis& x, const Axis& y) {
    const auto value = [&](double at) { return x.logarithmic ? std::pow(10.0, at) : at; };
    std::vector<Point> out = thinned(points, value(x.low), value(x.high), static_cast<int64_t>(a.width));
    for (Point& p : out) {
      p.x = a.x + a.width * x.position(p.x);
      p.y = a.y + a.height * (1 - std::clamp(y.position(p.y), -5.0, 5.0));  // NaN stays
    }
    return out;
  }

  void behind(const Curve& curve, const Rect& a, const Axis& x, const Axis& y, size_t n_curves) {
    const Color pale = n_curves == 1 ? kGrey : mixed(curve.color, {0.86, 0.86, 0.86}, 0.72);
    c_.curve(placed(curve.behind, a, x, y), a, {.color = pale, .width = 0.8});
  }

  void front(const Curve& curve, const Rect& a, const Axis& x, const Axis& y) {
    const std::vector<Point> points = placed(curve.points, a, x, y);
    c_.curve(points, a, {.color = curve.color, .width = 1.8, .dashed = curve.dashed});
    if (!curve.with_dots) return;
    for (const Point& p : points)
      if (p.y >= a.y && p.y <= a.y + a.height) c_.dot(p.x, p.y, 2.8, curve.color);
  }

  void footer() {
    c_.text(kWidth / 2, height_ - 12, figure_.x_label,
            {.size = 13, .bold = true, .align = Align::center, .color = kText});
    c_.text(kWidth - kMargin, height_ - 12, figure_.note,
            {.size = 10.5, .bold = false, .align = Align::right, .color = kSoftText});
  }

  Canvas& c_;
  const Figure& figure_;
  double height_;
  Bounds x_bounds_;
};

}  // namespace

Color curve_color(size_t i) noexcept {
  static constexpr std::array<Color, 7> colors = {{{0.000, 0.447, 0.698},    // blue
                                                   {0.835, 0.369, 0.000},    // vermilion
                                                   {0.000, 0.620, 0.451},    // bluish green
                                                   {0.800, 0.475, 0.655},    // reddish purple
                                                   {0.902, 0.624, 0.000},    // orange
                                                   {0.337, 0.706, 0.914},    // sky blue
                                                   {0.150, 0.150, 0.150}}};  // black
  return colors[i % colors.size()];
}

std::string draw_figure(const Figure& figure, ImageFormat format, ImageSize size) {
  const int64_t width = size.width > 0 ? size.width : format == ImageFormat::svg ? 1000 : 1600;
  const double scale = static_cast<double>(width) / kWidth;
  const double rows = std::ceil((static_cast<double>(figure.panels.size()) - 1) / 2);
  Canvas measure(ImageFormat::svg, kWidth, kWidth, 1);
  const double fixed = Drawer::legend_height(measure, figure) + kFooter;
  const double height = size.height > 0 ? std::max(static_cast<double>(size.height) / scale, fixed + 100)
                                        : fixed + kFirstHeight + rows * kRowHeight;
  Canvas canvas(format, kWidth, height, scale);
  Drawer(canvas, figure, height).draw();
  return canvas.finish();
}

}  // namespace fathom
