#include "plot/run_figure.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "base/error.h"

namespace fathom {
namespace {

bool starts_with(std::string_view text, std::string_view part) { return text.substr(0, part.size()) == part; }
bool ends_with(std::string_view text, std::string_view part) {
  return text.size() >= part.size() && text.substr(text.size() - part.size()) == part;
}

// The time of the run's first record; NaN when no record has one.
double start_time(const RunMetrics& run) {
  double start = std::numeric_limits<double>::quiet_NaN();
  for (const MetricSeries& s : run.series)
    if (!s.samples.empty()) start = std::fmin(start, s.samples.front().time);
  return start;
}

struct TimeUnit {
  double seconds;
  const char* name;
};

// The largest unit of which the longest run has at least two.
TimeUnit time_unit(const std::vector<RunMetrics>& runs) {
  double longest = 0;
  for (const RunMetrics& run : runs)
    for (const MetricSeries& s : run.series)
      if (!s.samples.empty()) longest = std::fmax(longest, s.samples.back().time - start_time(run));
  for (const TimeUnit unit : {TimeUnit{86400, "days"}, TimeUnit{3600, "hours"}, TimeUnit{60, "minutes"}})
    if (longest >= 2 * unit.seconds) return unit;
  return {1, "seconds"};
}

// The largest load of a layer at each step, over the layers.
MetricSeries worst_load(const RunMetrics& run) {
  std::map<double, MetricSample> by_step;
  for (const MetricSeries& s : run.series) {
    if (!starts_with(s.name, "load/") || !ends_with(s.name, "_max_over_mean")) continue;
    for (const MetricSample& sample : s.samples) {
      MetricSample& worst = by_step.try_emplace(sample.step, sample).first->second;
      worst.value = std::fmax(worst.value, sample.value);
    }
  }
  MetricSeries out{"worst load"};
  for (const auto& [step, sample] : by_step) out.samples.push_back(sample);
  return out;
}

class Builder {
 public:
  Builder(const std::vector<RunMetrics>& runs, const RunFigureOptions& options)
      : runs_(runs), options_(options), time_unit_(time_unit(runs)) {
    static const std::array<const char*, 2> labels = {"steps", "tokens"};
    figure_.x_label =
        options.x == PlotX::time ? fmt::format("time, {}", time_unit_.name) : labels[static_cast<size_t>(options.x)];
    for (size_t i = 0; i < runs.size(); ++i) figure_.legend.push_back({runs[i].run, curve_color(i)});
  }

  Figure finish() {
    figure_.panels.erase(
        std::remove_if(figure_.panels.begin(), figure_.panels.end(), [](const Panel& p) { return p.curves.empty(); }),
        figure_.panels.end());
    if (largest_window_ > 1)
      figure_.note =
          fmt::format("thin: every record; thick: mean of {}{}", windows_differ_ ? "up to " : "", largest_window_);
    return std::move(figure_);
  }

  void default_query_tiles() {
    Panel& loss = panel("loss, nats per token");
    add(loss, "loss", {.smooth = true});
    const size_t n_training = loss.curves.size();
    add(loss, "held_out/loss", {.dashed = true});
    if (n_training > 0 && loss.curves.size() > n_training) {
      loss.solid_means = "training";
      loss.dashed_means = "held-out";
    }
    add(panel("held-out text, bits per byte"), "held_out/bits_per_byte", {.dots = true});
    Panel& rate = panel("learning rate");
    rate.from_zero = true;
    add(rate, "learning_rate", {});
    Panel& norm = panel("gradient norm");
    norm.may_be_logarithmic = true;
    add(norm, "gradient_norm", {.smooth = true});
    Panel& load = panel("expert load, max / mean of the worst layer");
    for (size_t r = 0; r < runs_.size(); ++r) add_series(load, r, worst_load(runs_[r]), {.smooth = true});
  }

  void metric_panel(const std::string& name) {
    Panel& p = panel(name);
    add(p, name,
        {.smooth = !starts_with(name, "held_out/") && name != "learning_rate", .dots = starts_with(name, "held_out/")});
    if (p.curves.empty()) no_such_metric(name);
  }

 private:
  struct Style {
    bool smooth = false, dashed = false, dots = false;
  };

  Panel& panel(std::string title) {
    figure_.panels.reserve(5 + options_.metrics.size());  // references to panels stay valid
    return figure_.panels.emplace_back(Panel{.title = std::move(title), .curves = {}});
  }

  void add(Panel& p, std::string_view name, const Style& style) {
    for (size_t r = 0; r < runs_.size(); ++r)
      if (const MetricSeries* series = runs_[r].find(name)) add_series(p, r, *series, style);
  }

  // A series without one value is none.
  void add_series(Panel& p, size_t run, const MetricSeries& series, const Style& style) {
    std::vector<Point> points;
    const double start = start_time(runs_[run]);
    for (const MetricSample& s : series.samples) {
      const double x = options_.x == PlotX::steps    ? s.step
                       : options_.x == PlotX::tokens ? s.tokens
                                                     : (s.time - start) / time_unit_.seconds;
      if (!std::isnan(x)) points.push_back({x, s.value});
    }
    if (std::all_of(points.begin(), points.end(), [](const Point& q) { return std::isnan(q.y); })) return;
    Curve& curve = p.curves.emplace_back(Curve{
        .color = curve_color(run), .dashed = style.dashed, .with_dots = style.dots || style.dashed, .points = {}});
    const int64_t window = style.smooth ? window_of(static_cast<int64_t>(points.size())) : 1;
    curve.points = window > 1 ? smoothed(points, window) : points;
    if (window > 1) curve.behind = std::move(points);
  }

  int64_t window_of(int64_t n_records) {
    int64_t window = options_.smooth > 0 ? options_.smooth : n_records / 50;
    window = std::max<int64_t>(1, std::min(window, n_records) / 2 * 2 + 1);
    if (n_records < 3) window = 1;
    if (largest_window_ > 0 && window != largest_window_) windows_differ_ = true;
    largest_window_ = std::max(largest_window_, window);
    return window;
  }

  [[noreturn]] void no_such_metric(const std::string& name) const {
    std::set<std::string> names;
    for (const RunMetrics& run : runs_) {
      if (std::find(run.arrays.begin(), run.arrays.end(), name) != run.arrays.end())
        throw_bad_input("--metric {}: holds a list in every record, which is not drawn; try {}_max_over_mean", name,
                        name);
      for (const MetricSeries& s : run.series) names.insert(quoted_for_message(s.name));
    }
    std::string list;
    for (const std::string& n : names) {
      if (list.size() > 2000) {
        list += ", ...";
        break;
      }
      list += (list.empty() ? "" : ", ") + n;
    }
    throw_bad_input("--metric {}: no run has a number of that name; there are: {}", quoted_for_message(name),
                    list.empty() ? "none" : list);
  }

  const std::vector<RunMetrics>& runs_;
  const RunFigureOptions& options_;
  TimeUnit time_unit_;
  Figure figure_;
  int64_t largest_window_ = 0;
  bool windows_differ_ = false;
};

}  // namespace

Figure run_figure(const std::vector<RunMetrics>& runs, const RunFigureOptions& options) {
  Builder builder(runs, options);
  if (options.metrics.empty()) builder.default_query_tiles();
  for (const std::string& name : options.metrics) builder.metric_panel(name);
  Figure figure = builder.finish();
  if (figure.panels.empty())
    throw_bad_input("no run has a record with loss, learning rate, gradient norm or expert load yet{}; nothing to draw",
                    options.x == PlotX::tokens ? " (or the records do not say their tokens)" : "");
  return figure;
}

}  // namespace fathom
