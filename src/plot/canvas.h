// A sheet to draw on, kept as SVG or PNG. The only file that knows cairo.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "plot/curve.h"

namespace fathom {

struct Color {
  double red, green, blue;  // 0 to 1
};

struct Stroke {
  Color color;
  double width = 1;
  bool dashed = false;
};

struct Rect {
  double x, y, width, height;  // y grows downwards
};

enum class ImageFormat : uint8_t { svg, png };

// Text is in the sans-serif font of the system, as curves in an SVG, so that it looks the same everywhere.
enum class Align : uint8_t { left, center, right };
struct TextStyle {
  double size = 12;
  bool bold = false;
  Align align = Align::left;
  Color color = {0.2, 0.2, 0.2};
};

// Positions are in units; `scale` pixels (of an SVG: points) are one unit.
class Canvas {
 public:
  // White. resource Error when there is no memory for so many pixels.
  Canvas(ImageFormat format, double width, double height, double scale);
  ~Canvas();
  Canvas(const Canvas&) = delete;
  Canvas& operator=(const Canvas&) = delete;

  void line(double x0, double y0, double x1, double y1, const Stroke& stroke);
  // Lines through the points, broken at gaps (y NaN), nothing outside of `clip`. A point alone between gaps is a dot.
  void curve(const std::vector<Point>& points, const Rect& clip, const Stroke& stroke);
  void dot(double x, double y, double radius, const Color& color);
  void frame(const Rect& rect, const Stroke& stroke);
  // (x, y): the left end, middle or right end of the base line. What is no UTF-8 is shown as U+FFFD.
  void text(double x, double y, const std::string& words, const TextStyle& style);
  double text_width(const std::string& words, const TextStyle& style);

  // The file's bytes; the canvas is used up. resource Error when drawing failed.
  std::string finish();

 private:
  struct Handles;
  std::unique_ptr<Handles> handles_;
};

}  // namespace fathom
