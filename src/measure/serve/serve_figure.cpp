#include <algorithm>

#include "base/error.h"
#include "measure/serve/serve_bench.h"

namespace fathom::serve_bench {
namespace {

double as_milliseconds(double seconds) { return seconds * 1e3; }

// Against the loads: one figure of each.
std::vector<Point> points_of(const ServeBenchReport& r, size_t target, double (*figure)(const Tally&)) {
  std::vector<Point> points;
  for (const LoadRuns& runs : r.loads) points.push_back({runs.load.x(), figure(tally(runs.drives[target], r.limits))});
  std::sort(points.begin(), points.end(), [](const Point& a, const Point& b) { return a.x < b.x; });
  return points;
}

Panel panel_of(std::string title) {
  return {.title = std::move(title), .curves = {}, .may_be_logarithmic = true, .from_zero = true};
}

struct TimePanel {
  const char* title;
  double (*p50)(const Tally&);
  double (*p99)(const Tally&);
};
constexpr TimePanel kTimePanels[] = {
    {"time to the first token, ms", [](const Tally& t) { return as_milliseconds(t.first.p50); },
     [](const Tally& t) { return as_milliseconds(t.first.p99); }},
    {"time between tokens, ms", [](const Tally& t) { return as_milliseconds(t.gap.p50); },
     [](const Tally& t) { return as_milliseconds(t.gap.p99); }},
    {"whole request, ms", [](const Tally& t) { return as_milliseconds(t.whole.p50); },
     [](const Tally& t) { return as_milliseconds(t.whole.p99); }},
};

void add_load_panels(const ServeBenchReport& r, Figure& figure) {
  figure.x_label = r.loads.front().load.closed() ? "clients" : "requests/s";
  Panel rates = panel_of("output tokens/s");
  rates.may_be_logarithmic = false;
  for (size_t t = 0; t < r.targets.size(); ++t)
    rates.curves.push_back({.color = curve_color(t),
                            .with_dots = true,
                            .points = points_of(r, t, [](const Tally& tally) { return tally.output_rate(); })});
  figure.panels.push_back(std::move(rates));
  for (const TimePanel& p : kTimePanels) {
    Panel panel = panel_of(p.title);
    panel.solid_means = "p50";
    panel.dashed_means = "p99";
    for (size_t t = 0; t < r.targets.size(); ++t) {
      panel.curves.push_back({.color = curve_color(t), .with_dots = true, .points = points_of(r, t, p.p50)});
      panel.curves.push_back(
          {.color = curve_color(t), .dashed = true, .with_dots = true, .points = points_of(r, t, p.p99)});
    }
    figure.panels.push_back(std::move(panel));
  }
}

// A value for each percent of them.
std::vector<Point> distribution(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  std::vector<Point> points;
  for (size_t i = 0; i < values.size(); ++i)
    points.push_back(
        {100 * (static_cast<double>(i) + 0.5) / static_cast<double>(values.size()), as_milliseconds(values[i])});
  return thinned(points, 0, 100, 400);
}

template <class Values>
Panel distribution_panel(const ServeBenchReport& r, const char* title, const Values& values_of) {
  Panel panel = panel_of(title);
  for (size_t t = 0; t < r.targets.size(); ++t) {
    std::vector<double> values;
    for (const Drive& d : r.loads.front().drives[t])
      for (const Outcome& o : d.outcomes)
        if (o.error.empty()) values_of(o, values);
    if (!values.empty()) panel.curves.push_back({.color = curve_color(t), .points = distribution(std::move(values))});
  }
  return panel;
}

void add_distribution_panels(const ServeBenchReport& r, Figure& figure) {
  figure.x_label = "percent of them that are not above";
  for (Panel& panel : std::vector<Panel>{
           distribution_panel(r, "time between tokens, ms",
                              [](const Outcome&o, std::vector<double>&values) {
                                values.insert(values.end(), o.gaps.begin(), o.gaps.end());
                              }),
           distribution_panel(r, "time to the first token, ms",
                              [](const Outcome&o, std::vector<double>&values) { values.push_back(o.time_to_first()); }),
           distribution_panel(r, "whole request, ms",
                              [](const Outcome&o, std::vector<double>&values) { values.push_back(o.whole()); })})
    if (!panel.curves.empty()) figure.panels.push_back(panel);
}

}  // namespace

Figure serve_figure(const ServeBenchReport& r) {
  Figure figure;
  for (size_t t = 0; t < r.targets.size(); ++t) figure.legend.push_back({r.targets[t].name, curve_color(t)});
  for (const std::string& kind : r.kinds) figure.note += (figure.note.empty() ? "" : " beside ") + kind;
  if (r.shared_prefix > 0) figure.note += fmt::format(", after {} shared tokens", r.shared_prefix);
  if (r.loads.size() > 1)
    add_load_panels(r, figure);
  else
    add_distribution_panels(r, figure);
  if (figure.panels.empty()) throw_bad_input("no request was answered; nothing to draw");
  return figure;
}

}  // namespace fathom::serve_bench
