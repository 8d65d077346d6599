#include "plot/canvas.h"

#include <cairo-svg.h>
#include <cairo.h>

#include <array>
#include <cmath>

#include "base/error.h"
#include "base/text/utf8.h"

namespace fathom {
namespace {

cairo_status_t append(void* out, const unsigned char* bytes, unsigned int n) {
  static_cast<std::string*>(out)->append(reinterpret_cast<const char*>(bytes), n);
  return CAIRO_STATUS_SUCCESS;
}

void check_status(cairo_status_t status, double width, double height) {
  if (status != CAIRO_STATUS_SUCCESS)
    throw_resource("the figure of {} x {} cannot be drawn: {}; try a smaller --width or --height", width, height,
                   cairo_status_to_string(status));
}

}  // namespace

struct Canvas::Handles {
  Handles(ImageFormat f, double w, double h) : format(f), width(std::ceil(w)), height(std::ceil(h)) {
    surface = format == ImageFormat::svg
                  ? cairo_svg_surface_create_for_stream(append, &bytes, width, height)
                  : cairo_image_surface_create(CAIRO_FORMAT_RGB24, static_cast<int>(width), static_cast<int>(height));
    context = cairo_create(surface);
  }
  ~Handles() {
    cairo_destroy(context);
    cairo_surface_destroy(surface);
  }
  Handles(const Handles&) = delete;
  Handles& operator=(const Handles&) = delete;

  void set(const Color& c) { cairo_set_source_rgb(context, c.red, c.green, c.blue); }
  void set(const Stroke& s) {
    set(s.color);
    cairo_set_line_width(context, s.width);
    const std::array<double, 2> dashes = {4 * s.width, 2.5 * s.width};
    cairo_set_dash(context, dashes.data(), s.dashed ? 2 : 0, 0);
  }
  void set(const TextStyle& s) {
    set(s.color);
    cairo_select_font_face(context, "sans-serif", CAIRO_FONT_SLANT_NORMAL,
                           s.bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(context, s.size);
  }

  ImageFormat format;
  double width, height;
  std::string bytes;
  cairo_surface_t* surface;
  cairo_t* context;
};

Canvas::Canvas(ImageFormat format, double width, double height, double scale)
    : handles_(std::make_unique<Handles>(format, width * scale, height * scale)) {
  cairo_t* const c = handles_->context;
  check_status(cairo_status(c), handles_->width, handles_->height);
  handles_->set(Color{1, 1, 1});
  cairo_paint(c);
  cairo_scale(c, scale, scale);
  cairo_set_line_join(c, CAIRO_LINE_JOIN_ROUND);
}

Canvas::~Canvas() = default;

void Canvas::line(double x0, double y0, double x1, double y1, const Stroke& stroke) {
  cairo_t* const c = handles_->context;
  handles_->set(stroke);
  cairo_move_to(c, x0, y0);
  cairo_line_to(c, x1, y1);
  cairo_stroke(c);
}

void Canvas::curve(const std::vector<Point>& points, const Rect& clip, const Stroke& stroke) {
  cairo_t* const c = handles_->context;
  cairo_save(c);
  cairo_rectangle(c, clip.x, clip.y, clip.width, clip.height);
  cairo_clip(c);
  const auto is_gap = [&](size_t i) { return i >= points.size() || std::isnan(points[i].y); };
  for (size_t i = 0; i < points.size(); ++i) {
    if (is_gap(i)) continue;
    const bool starts = i == 0 || is_gap(i - 1);
    if (starts && is_gap(i + 1))
      dot(points[i].x, points[i].y, 1.2 * stroke.width, stroke.color);
    else if (starts)
      cairo_move_to(c, points[i].x, points[i].y);
    else
      cairo_line_to(c, points[i].x, points[i].y);
    if (!starts && is_gap(i + 1)) {
      handles_->set(stroke);
      cairo_stroke(c);
    }
  }
  cairo_restore(c);
}

void Canvas::dot(double x, double y, double radius, const Color& color) {
  cairo_t* const c = handles_->context;
  handles_->set(color);
  cairo_new_path(c);
  cairo_arc(c, x, y, radius, 0, 6.283185307179586);
  cairo_fill(c);
}

void Canvas::frame(const Rect& r, const Stroke& stroke) {
  handles_->set(stroke);
  cairo_rectangle(handles_->context, r.x, r.y, r.width, r.height);
  cairo_stroke(handles_->context);
}

double Canvas::text_width(const std::string& words, const TextStyle& style) {
  handles_->set(style);
  cairo_text_extents_t extents;
  cairo_text_extents(handles_->context, replace_invalid_utf8(words).c_str(), &extents);
  return extents.x_advance;
}

void Canvas::text(double x, double y, const std::string& words, const TextStyle& style) {
  const double width = style.align == Align::left ? 0 : text_width(words, style);
  handles_->set(style);
  cairo_move_to(handles_->context, style.align == Align::right ? x - width : x - width / 2, y);
  cairo_show_text(handles_->context, replace_invalid_utf8(words).c_str());
  cairo_new_path(handles_->context);
}

std::string Canvas::finish() {
  Handles& h = *handles_;
  check_status(cairo_status(h.context), h.width, h.height);
  if (h.format == ImageFormat::png)
    check_status(cairo_surface_write_to_png_stream(h.surface, append, &h.bytes), h.width, h.height);
  cairo_surface_finish(h.surface);
  check_status(cairo_surface_status(h.surface), h.width, h.height);
  return std::move(h.bytes);
}

}  // namespace fathom
