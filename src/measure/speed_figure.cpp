#include "measure/speed_figure.h"

#include <algorithm>
#include <limits>
#include <map>
#include <set>

#include "base/error.h"

namespace fathom {
namespace {

// A curve of the works that `wanted` picks, by x.
template <class Wanted, class X, class Y>
std::vector<Point> points_of(const EngineRun& run, const Wanted& wanted, const X& x, const Y& y) {
  std::vector<Point> points;
  for (size_t i = 0; i < run.timings.size(); ++i)
    if (const Work& work = run.timings[i].work; wanted(work)) points.push_back({static_cast<double>(x(work)), y(i)});
  std::sort(points.begin(), points.end(), [](const Point& l, const Point& r) { return l.x < r.x; });
  return points;
}

// Tokens a second of a work that does nothing but read what it must, or multiply, whichever takes longer, at the limits
// that were measured beside it. NaN where these are not known.
double most_tokens_per_second(const EngineRun& run, size_t i) {
  if (!run.limits || i >= run.costs.size() || run.limits->read_bytes_per_second <= 0)
    return std::numeric_limits<double>::quiet_NaN();
  const MachineLimits& limits = *run.limits;
  const double operations = limits.int8_ops_per_second > 0 ? limits.int8_ops_per_second : limits.fp32_flops_per_second;
  const Cost cost = sum_of(run.costs[i]);
  return run.timings[i].tokens_per_second(
      std::max(cost.bytes() / limits.read_bytes_per_second, cost.flops / operations));
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
    std::map<int64_t, std::set<int64_t>> batches;  // numbers of sequences by depth
    int64_t prompt = 0;
    for (const Timing& t : run->timings) {
      if (t.work.kind == WorkKind::decode) batches[t.work.depth].insert(t.work.sequences);
      if (t.work.kind == WorkKind::prefill && prompt == 0) prompt = t.work.tokens;
    }
    const auto one = [](const Work& w) { return w.kind == WorkKind::decode && w.sequences == 1; };
    const auto prefill = [=](const Work& w) { return w.kind == WorkKind::prefill && w.tokens == prompt; };
    const auto panel = [](std::string title) {
      return Panel{.title = std::move(title), .curves = {}, .from_zero = true, .own_x = true};
    };
    curve(panel("decode of one sequence, tokens/s, against depth"), *run, one, depth);
    curve(panel(fmt::format("prefill of {} tokens, tokens/s, against depth", prompt)), *run, prefill, depth);
    for (const auto& [at, numbers] : batches) {
      if (numbers.size() < 2 && at != batches.begin()->first) continue;
      const auto batch = [at = at](const Work& w) { return w.kind == WorkKind::decode && w.depth == at; };
      Panel by_number = panel(at > 0 ? fmt::format("tokens/s by batch, after {}", at) : "tokens/s by batch");
      by_number.logarithmic_x = true;
      curve(std::move(by_number), *run, batch, sequences);
    }
  }

  Figure finish(std::string note) {
    figure_.note = std::move(note);
    return std::move(figure_);
  }

 private:
  // What was measured and, dashed, the most that the machine's limits allow.
  template <class Wanted, class X>
  void curve(Panel empty, const EngineRun& run, const Wanted& wanted, const X& x) {
    const auto measured = [&](size_t i) { return run.timings[i].tokens_per_second(median(run.timings[i].seconds)); };
    std::vector<Point> points = points_of(run, wanted, x, measured);
    if (points.empty()) return;
    auto panel = std::find_if(figure_.panels.begin(), figure_.panels.end(),
                              [&](const Panel& p) { return p.title == empty.title; });
    if (panel == figure_.panels.end()) panel = figure_.panels.insert(figure_.panels.end(), std::move(empty));
    panel->curves.push_back({.color = color_, .with_dots = true, .points = std::move(points)});
    if (!run.limits || run.costs.empty()) return;
    const auto most = [&](size_t i) { return most_tokens_per_second(run, i); };
    panel->curves.push_back({.color = color_, .dashed = true, .points = points_of(run, wanted, x, most)});
    panel->solid_means = "measured";
    panel->dashed_means = run.limits->int8_ops_per_second > 0 ? "limit (int8)" : "limit (fp32)";
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
