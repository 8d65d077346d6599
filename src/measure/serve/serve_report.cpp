#include <algorithm>
#include <functional>

#include "base/error.h"
#include "measure/measure.h"
#include "measure/serve/serve_bench.h"

namespace fathom::serve_bench {
namespace {

struct Span {
  double median = 0, low = 0, high = 0;
};

Span span_of(const std::vector<double>& values) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return {median(values), *low, *high};
}

using TallyFigure = std::function<double(const Tally&)>;

// A figure of each round.
std::vector<double> by_round(const std::vector<Drive>& drives, const GoodLimits& limits, const TallyFigure& figure) {
  std::vector<double> values;
  for (const Drive& d : drives) values.push_back(figure(tally({d}, limits)));
  return values;
}

double output_rate(const Tally& t) { return t.output_rate(); }

// Of each round: how many times better than the peer; rounds in which one of them has no figure are left out.
std::vector<double> ratios(const std::vector<double>& better, const std::vector<double>& worse) {
  std::vector<double> out;
  for (size_t i = 0; i < std::min(better.size(), worse.size()); ++i)
    if (better[i] > 0 && worse[i] > 0) out.push_back(better[i] / worse[i]);
  return out;
}

// What servers are compared by: of rates more is better, of times less.
struct Comparison {
  const char* name;
  const char* key;
  bool is_rate;
  double (*figure)(const Tally&);
};
constexpr Comparison kComparisons[] = {
    {"output tokens/s", "output_tokens_per_second", true, [](const Tally& t) { return t.output_rate(); }},
    {"first token, p50", "first_token_p50", false, [](const Tally& t) { return t.first.p50; }},
    {"first token, p99", "first_token_p99", false, [](const Tally& t) { return t.first.p99; }},
    {"between tokens, p50", "between_tokens_p50", false, [](const Tally& t) { return t.gap.p50; }},
    {"between tokens, p99", "between_tokens_p99", false, [](const Tally& t) { return t.gap.p99; }},
    {"while the longest prompts are read, p99", "between_tokens_beside_prompts_p99", false,
     [](const Tally& t) { return t.gap_beside_prompt.p99; }},
};

std::vector<double> times_better(const ServeBenchReport& r, const LoadRuns& runs, size_t peer, const Comparison& c) {
  const std::vector<double> own = by_round(runs.drives[0], r.limits, c.figure);
  const std::vector<double> other = by_round(runs.drives[peer], r.limits, c.figure);
  return c.is_rate ? ratios(own, other) : ratios(other, own);
}

json::object to_json(const Span& s) { return {{"median", s.median}, {"min", s.low}, {"max", s.high}}; }

json::object to_json(const Percentiles& p) {
  return {{"p50", p.p50}, {"p90", p.p90}, {"p99", p.p99}, {"mean", p.mean}, {"max", p.most}, {"n", p.n}};
}

json::object to_json(const Tally& t) {
  json::object errors;
  for (const auto& [kind, count] : t.errors) errors[kind] = json::object{{"n", count.n}, {"first", count.detail}};
  return {{"requests", t.requests},
          {"answered", t.answered},
          {"good", t.good},
          {"seconds", t.seconds},
          {"prompt_tokens", t.prompt_tokens},
          {"output_tokens", t.output_tokens},
          {"output_tokens_per_second", t.output_rate()},
          {"requests_per_second", t.request_rate()},
          {"good_requests_per_second", t.good_rate()},
          {"first_token_seconds", to_json(t.first)},
          {"between_tokens_seconds", to_json(t.gap)},
          {"between_tokens_beside_prompts_seconds", to_json(t.gap_beside_prompt)},
          {"request_seconds", to_json(t.whole)},
          {"errors", std::move(errors)}};
}

json::object target_to_json(const ServeBenchReport& r, const LoadRuns& runs, size_t target) {
  const std::vector<Drive>& drives = runs.drives[target];
  json::object out = to_json(tally(drives, r.limits));
  out["name"] = r.targets[target].name;
  out["output_tokens_per_second_by_round"] = json::value_from(by_round(drives, r.limits, output_rate));
  if (r.kinds.size() > 1) {
    json::array kinds;
    for (size_t k = 0; k < r.kinds.size(); ++k) {
      kinds.push_back(to_json(tally(drives, r.limits, k)));
      kinds.back().as_object()["kind"] = r.kinds[k];
    }
    out["kinds"] = std::move(kinds);
  }
  return out;
}

json::object load_to_json(const ServeBenchReport& r, const LoadRuns& runs) {
  json::object out;
  if (runs.load.closed())
    out["clients"] = runs.load.clients;
  else
    out["rate"] = runs.load.rate;
  json::array servers, against;
  for (size_t t = 0; t < r.targets.size(); ++t) servers.push_back(target_to_json(r, runs, t));
  for (size_t t = 1; t < r.targets.size(); ++t) {
    json::object peer{{"name", r.targets[t].name}};
    for (const Comparison& c : kComparisons)
      if (const std::vector<double> times = times_better(r, runs, t, c); !times.empty())
        peer[c.key] = to_json(span_of(times));
    against.push_back(std::move(peer));
  }
  out["servers"] = std::move(servers);
  if (!against.empty()) out["times_better"] = std::move(against);
  return out;
}

std::string milliseconds(const Percentiles& p) {
  if (p.n == 0) return fmt::format("{:>9}{:>9}{:>9}", "-", "-", "-");
  return fmt::format("{:>9.1f}{:>9.1f}{:>9.1f}", p.p50 * 1e3, p.p90 * 1e3, p.p99 * 1e3);
}

std::string row(const std::string& name, const Tally& t, const std::string& spread) {
  return fmt::format("{:<28}{:>6}{:>6}{:>9.2f}{:>8.0f} %{:>10.1f}  {:<20}{}  {}  {}\n", name, t.answered,
                     t.requests - t.answered, t.request_rate(),
                     t.requests > 0 ? 100 * static_cast<double>(t.good) / static_cast<double>(t.requests) : 0,
                     t.output_rate(), spread, milliseconds(t.first), milliseconds(t.gap), milliseconds(t.whole));
}

std::string target_rows(const ServeBenchReport& r, const LoadRuns& runs, size_t target) {
  const std::vector<Drive>& drives = runs.drives[target];
  const Tally all = tally(drives, r.limits);
  const Span s = span_of(by_round(drives, r.limits, output_rate));
  std::string out =
      row(r.targets[target].name, all, drives.size() > 1 ? fmt::format("({:.1f} to {:.1f})", s.low, s.high) : "");
  if (r.kinds.size() > 1)
    for (size_t k = 0; k < r.kinds.size(); ++k) out += row("  " + r.kinds[k], tally(drives, r.limits, k), "");
  if (const Percentiles& g = all.gap_beside_prompt; g.n > 0)
    out += fmt::format("  between tokens while the longest prompts are read: {} ms at p50, p90, p99; at most {:.1f}\n",
                       milliseconds(g), g.most * 1e3);
  for (const auto& [kind, count] : all.errors)
    out += fmt::format("  failed: {} x {}{}{}\n", count.n, kind, count.detail.empty() ? "" : ": ", count.detail);
  return out;
}

std::string against_rows(const ServeBenchReport& r, const LoadRuns& runs, size_t peer) {
  std::string out = fmt::format("  {}, times better than {}:", r.targets[0].name, r.targets[peer].name);
  const char* separator = " ";
  for (const Comparison& c : kComparisons) {
    const std::vector<double> times = times_better(r, runs, peer, c);
    if (times.empty()) continue;
    const Span s = span_of(times);
    out += fmt::format("{}{} {:.2f} ({:.2f} to {:.2f})", separator, c.name, s.median, s.low, s.high);
    separator = "; ";
  }
  return out + "\n";
}

std::string head_rows() {
  const auto three = [](const char* name) { return fmt::format("{:>27}", name); };
  const std::string percents = fmt::format("{:>9}{:>9}{:>9}", "p50", "p90", "p99");
  return fmt::format("{:<28}{:>6}{:>6}{:>9}{:>10}{:>10}  {:<20}{}  {}  {}\n", "", "", "", "", "", "output", "",
                     three("first token, ms"), three("between tokens, ms"), three("whole request, ms")) +
         fmt::format("{:<28}{:>6}{:>6}{:>9}{:>10}{:>10}  {:<20}{}  {}  {}\n", "", "done", "fail", "req/s", "good",
                     "tokens/s", "(least to most)", percents, percents, percents);
}

}  // namespace

json::value to_json(const ServeBenchReport& r) {
  json::array servers, loads;
  for (size_t i = 0; i < r.targets.size(); ++i)
    servers.push_back({{"name", r.targets[i].name},
                       {"url", r.targets[i].root},
                       {"model", r.targets[i].model},
                       {"prompts", r.prompts[i]}});
  for (const LoadRuns& runs : r.loads) loads.push_back(load_to_json(r, runs));
  return json::object{{"servers", std::move(servers)},
                      {"route", r.chat ? "/v1/chat/completions" : "/v1/completions"},
                      {"kinds", json::value_from(r.kinds)},
                      {"shared_prefix", r.shared_prefix},
                      {"seed", r.seed},
                      {"first_token_limit_seconds", r.limits.first_seconds},
                      {"between_tokens_limit_seconds", r.limits.token_seconds},
                      {"loads", std::move(loads)}};
}

std::string to_table(const ServeBenchReport& r) {
  std::string out;
  for (size_t i = 0; i < r.targets.size(); ++i)
    out += fmt::format("{}: {} at {}, prompts {}\n", r.targets[i].name, r.targets[i].model, r.targets[i].root,
                       r.prompts[i]);
  std::string kinds;
  for (const std::string& kind : r.kinds) kinds += (kinds.empty() ? "" : " beside ") + kind;
  out +=
      fmt::format("{}{}, seed {}\n", kinds,
                  r.shared_prefix > 0 ? fmt::format(", after {} tokens that all share", r.shared_prefix) : "", r.seed);
  for (const LoadRuns& runs : r.loads) {
    out += fmt::format("\n{}\n{}", describe(runs.load), head_rows());
    for (size_t t = 0; t < r.targets.size(); ++t) out += target_rows(r, runs, t);
    for (size_t t = 1; t < r.targets.size(); ++t) out += against_rows(r, runs, t);
  }
  return out;
}

}  // namespace fathom::serve_bench
