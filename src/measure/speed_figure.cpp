#include "measure/speed_figure.h"

#include <algorithm>

#include "base/error.h"

namespace fathom {
namespace {

// A curve of the works that `wanted` picks, by x.
template <class Wanted, class X>
std::vector<Point> points_of(const EngineRun& run, const Wanted& wanted, const X& x) {
  std::vector<Point> points;
  for (const Timing& t : run.timings)
    if (wanted(t.work)) points.push_back({static_cast<double>(x(t.work)), t.tokens_per_second(median(t.seconds))});
  std::sort(points.begin(), points.end(), [](const Point& a, const Point& b) { return a.x < b.x; });
  return points;
}

// The run with the most threads, and the least depth of its decodes.
const EngineRun* largest(const std::vector<EngineRun>& runs) {
  const auto it = std::max_element(runs.begin(), runs.end(),
                                   [](const EngineRun& a, const EngineRun& b) { return a.threads < b.threads; });
  return it == runs.end() ? nullptr : &*it;
}

class Builder {
 public:
  void add(const std::string& name, const EngineRun* run) {
    if (run == nullptr) return;
    color_ = curve_color(figure_.legend.size());
    figure_.legend.push_back({fmt::format("{}, {} threads", name, run->threads), color_});
    const auto depth = [](const Work& w) { return w.depth; };
    const auto sequences = [](const Work& w) { return w.sequences; };
    int64_t least = INT64_MAX, prompt = 0;
    for (const Timing& t : run->timings) {
      if (t.work.kind == WorkKind::decode) least = std::min(least, t.work.depth);
      if (t.work.kind == WorkKind::prefill && prompt == 0) prompt = t.work.tokens;
    }
    const auto one = [](const Work& w) { return w.kind == WorkKind::decode && w.sequences == 1; };
    const auto batch = [=](const Work& w) { return w.kind == WorkKind::decode && w.depth == least; };
    const auto prefill = [=](const Work& w) { return w.kind == WorkKind::prefill && w.tokens == prompt; };
    curve("decode of one sequence, tokens/s, against depth", points_of(*run, one, depth));
    curve(fmt::format("prefill of {} tokens, tokens/s, against depth", prompt), points_of(*run, prefill, depth));
    curve("decode, tokens/s of all sequences, against their number", points_of(*run, batch, sequences));
  }

  Figure finish(std::string note) {
    figure_.note = std::move(note);
    return std::move(figure_);
  }

 private:
  void curve(const std::string& title, std::vector<Point> points) {
    if (points.empty()) return;
    auto panel =
        std::find_if(figure_.panels.begin(), figure_.panels.end(), [&](const Panel& p) { return p.title == title; });
    if (panel == figure_.panels.end())
      panel = figure_.panels.insert(figure_.panels.end(),
                                    Panel{.title = title, .curves = {}, .from_zero = true, .own_x = true});
    panel->curves.push_back({.color = color_, .with_dots = true, .points = std::move(points)});
  }

  Figure figure_;
  Color color_{};
};

}  // namespace

Figure speed_figure(const std::vector<NamedReport>& reports) {
  Builder builder;
  for (const auto& [name, report] : reports) {
    builder.add(name, largest(report.runs));
    builder.add(report.peer.substr(0, report.peer.find(" (")), largest(report.peer_runs));
  }
  Figure figure = builder.finish(reports.empty() ? "" : reports.front().report.cpu);
  if (figure.panels.empty()) throw_bad_input("no work in these reports; nothing to draw");
  return figure;
}

}  // namespace fathom
