#include <algorithm>
#include <filesystem>

#include "base/progress.h"
#include "measure/bench.h"

namespace fathom {
namespace {

struct Spread {
  double median, low, high;
};

Spread spread(const std::vector<double>& values) {
  const auto [low, high] = std::minmax_element(values.begin(), values.end());
  return {median(values), *low, *high};
}

Spread speed(const Timing& t) {
  std::vector<double> speeds;
  for (const double s : t.seconds) speeds.push_back(t.tokens_per_second(s));
  return spread(speeds);
}

// Of each round: how many times faster than the peer.
Spread ratio(const Timing& own, const Timing& peer) {
  std::vector<double> ratios;
  for (size_t i = 0; i < std::min(own.seconds.size(), peer.seconds.size()); ++i)
    ratios.push_back(peer.seconds[i] / own.seconds[i]);
  return spread(ratios);
}

json::object to_json(const Spread& s) { return {{"median", s.median}, {"min", s.low}, {"max", s.high}}; }

json::object profile_to_json(const Profile& p, const PartCosts& costs) {
  json::array parts;
  for (size_t i = 0; i < p.parts.size(); ++i)
    parts.push_back(json::object{
        {"part", kPartNames[i]}, {"seconds", p.parts[i]}, {"bytes", costs[i].bytes()}, {"flops", costs[i].flops}});
  return {{"parts", std::move(parts)}, {"waiting_seconds", p.waiting}, {"other_threads_at_work", p.others_at_work}};
}

json::object work_to_json(const EngineRun& run, size_t i, const EngineRun* peer) {
  const Timing& t = run.timings[i];
  json::object out{{"work", to_text(t.work)},
                   {"seconds", json::array(t.seconds.begin(), t.seconds.end())},
                   {"tokens_per_second", to_json(speed(t))}};
  if (i < run.costs.size()) {
    const Cost c = sum_of(run.costs[i]);
    const double s = median(t.seconds);
    out["weight_bytes"] = c.weight_bytes;
    out["cache_bytes"] = c.cache_bytes;
    out["flops"] = c.flops;
    out["gigabytes_per_second"] = c.bytes() / s / 1e9;
    out["gigaflops_per_second"] = c.flops / s / 1e9;
    if (run.limits) {
      out["percent_of_read"] = 100 * c.bytes() / s / run.limits->read_bytes_per_second;
      if (run.limits->int8_ops_per_second > 0)
        out["percent_of_int8"] = 100 * c.flops / s / run.limits->int8_ops_per_second;
      if (run.limits->fp32_flops_per_second > 0)
        out["percent_of_fp32"] = 100 * c.flops / s / run.limits->fp32_flops_per_second;
    }
  }
  if (i < run.profiles.size()) out["profile"] = profile_to_json(run.profiles[i], run.costs[i]);
  if (i < run.settings.size()) out["settings"] = run.settings[i];
  if (peer != nullptr) out["times_faster"] = to_json(ratio(t, peer->timings[i]));
  return out;
}

json::object run_to_json(const EngineRun& run, const EngineRun* peer) {
  json::object out{
      {"threads", run.threads}, {"load_seconds", run.load_seconds}, {"peak_memory_bytes", run.peak_memory_bytes}};
  if (run.limits)
    out["limits"] = json::object{{"read_bytes_per_second", run.limits->read_bytes_per_second},
                                 {"int8_ops_per_second", run.limits->int8_ops_per_second},
                                 {"fp32_flops_per_second", run.limits->fp32_flops_per_second}};
  json::array works;
  for (size_t i = 0; i < run.timings.size(); ++i) works.push_back(work_to_json(run, i, peer));
  out["works"] = std::move(works);
  return out;
}

EngineRun run_from_json(const json::value& v) {
  EngineRun run;
  run.threads = static_cast<int>(v.at("threads").as_int64());
  run.load_seconds = v.at("load_seconds").to_number<double>();
  run.peak_memory_bytes = v.at("peak_memory_bytes").to_number<double>();
  if (const json::value* l = v.as_object().if_contains("limits"))
    run.limits = MachineLimits{l->at("read_bytes_per_second").to_number<double>(),
                               l->at("int8_ops_per_second").to_number<double>(),
                               l->at("fp32_flops_per_second").to_number<double>()};
  for (const json::value& w : v.at("works").as_array()) {
    Timing t{.work = parse_work(std::string_view(w.at("work").as_string())), .seconds = {}};
    for (const json::value& s : w.at("seconds").as_array()) t.seconds.push_back(s.to_number<double>());
    if (t.seconds.empty()) throw_bad_input("a work without seconds");
    run.timings.push_back(std::move(t));
    if (w.as_object().contains("flops"))
      run.costs.push_back({Cost{w.at("weight_bytes").to_number<double>(), w.at("cache_bytes").to_number<double>(),
                                w.at("flops").to_number<double>()}});  // not told apart
    if (const json::value* s = w.as_object().if_contains("settings")) run.settings.emplace_back(s->as_string());
  }
  return run;
}

std::string percent(double part, double whole) {
  return whole > 0 ? fmt::format("{:>3.0f} %", 100 * part / whole) : "";
}

// Bytes and operations a second, and what part of the machine's limits they are.
std::string rates(const Cost& c, double seconds, const MachineLimits& limits) {
  return fmt::format("{:>8.2f} {:>6}{:>9.1f} {:>6} {:>6}", c.bytes() / seconds / 1e9,
                     percent(c.bytes() / seconds, limits.read_bytes_per_second), c.flops / seconds / 1e9,
                     percent(c.flops / seconds, limits.fp32_flops_per_second),
                     percent(c.flops / seconds, limits.int8_ops_per_second));
}

std::string own_row(const EngineRun& run, size_t i) {
  const Timing& t = run.timings[i];
  const Spread s = speed(t);
  const double seconds = median(t.seconds);
  const Cost c = i < run.costs.size() ? sum_of(run.costs[i]) : Cost{};
  const MachineLimits limits = run.limits.value_or(MachineLimits{});
  return fmt::format("{:<32}{:>10.2f}  {:<22}{}", describe(t.work), s.median,
                     fmt::format("({:.2f} to {:.2f})", s.low, s.high), rates(c, seconds, limits));
}

// Of a step of a decode, or of the whole prefill.
std::string profile_rows(const EngineRun& run, size_t i) {
  const Work& w = run.timings[i].work;
  const Profile& p = run.profiles[i];
  const double seconds = median(run.timings[i].seconds),
               steps = w.kind == WorkKind::decode ? static_cast<double>(w.tokens) : 1;
  std::string out = fmt::format(
      "\n{}: {:.2f} ms{}{}\n", describe(w), 1e3 * seconds / steps, w.kind == WorkKind::decode ? " a step" : "",
      run.threads > 1 ? fmt::format("; the other threads work {:.0f} % of it", 100 * p.others_at_work) : "");
  const auto row = [&](std::string_view what, double part, const std::string& rest) {
    if (part > 0)
      out += fmt::format("  {:<30}{:>10.2f}  {:<22}{}\n", what, 1e3 * part / steps,
                         fmt::format("({:.1f} %)", 100 * part / seconds), rest);
  };
  for (size_t k = 0; k < p.parts.size(); ++k)
    row(kPartNames[k], p.parts[k], rates(run.costs[i][k], p.parts[k], run.limits.value_or(MachineLimits{})));
  row("waiting for threads", p.waiting, "");
  return out;
}

std::string against_rows(const EngineRun& own, const EngineRun& peer) {
  std::string out = fmt::format("\n{:<32}{:>10}{:>12}  {:<28}{}\n", "", "fathom", "peer", "times faster", "peer with");
  const auto row = [&](const std::string& what, double a, double b) {
    out += fmt::format("{:<32}{:>10.2f}{:>12.2f}  {:.2f}\n", what, a, b, b / a);
  };
  for (size_t i = 0; i < own.timings.size(); ++i) {
    const Spread r = ratio(own.timings[i], peer.timings[i]);
    out += fmt::format("{:<32}{:>10.2f}{:>12.2f}  {:<28}{}\n", describe(own.timings[i].work) + ", t/s",
                       speed(own.timings[i]).median, speed(peer.timings[i]).median,
                       fmt::format("{:.2f} ({:.2f} to {:.2f})", r.median, r.low, r.high),
                       i < peer.settings.size() ? peer.settings[i] : "");
  }
  row("load and first token, s", own.load_seconds, peer.load_seconds);
  row("peak memory, GB", own.peak_memory_bytes / 1e9, peer.peak_memory_bytes / 1e9);
  return out;
}

}  // namespace

json::value to_json(const BenchReport& r) {
  json::object out;
  out["model"] = json::object{
      {"path", r.model}, {"types", r.types}, {"bytes", r.model_bytes}, {"active_parameters", r.active_parameters}};
  out["machine"] = json::object{{"cpu", r.cpu}, {"isa", r.isa}};
  json::array runs, peers;
  for (size_t i = 0; i < r.runs.size(); ++i)
    runs.push_back(run_to_json(r.runs[i], i < r.peer_runs.size() ? &r.peer_runs[i] : nullptr));
  for (const EngineRun& run : r.peer_runs) peers.push_back(run_to_json(run, nullptr));
  out["runs"] = std::move(runs);
  if (!r.peer.empty()) {
    out["peer"] = r.peer;
    out["peer_runs"] = std::move(peers);
  }
  out["explanation"] = json::array(r.explanation.begin(), r.explanation.end());
  return out;
}

BenchReport report_from_json(const json::value& v, const std::string& where) {
  try {
    BenchReport r;
    r.model = std::string(v.at("model").at("path").as_string());
    r.types = std::string(v.at("model").at("types").as_string());
    r.model_bytes = v.at("model").at("bytes").to_number<double>();
    r.active_parameters = v.at("model").at("active_parameters").to_number<double>();
    r.cpu = v.at("machine").at("cpu").as_string();
    r.isa = v.at("machine").at("isa").as_string();
    for (const json::value& run : v.at("runs").as_array()) r.runs.push_back(run_from_json(run));
    if (const json::value* peer = v.as_object().if_contains("peer")) {
      r.peer = peer->as_string();
      for (const json::value& run : v.at("peer_runs").as_array()) r.peer_runs.push_back(run_from_json(run));
    }
    for (const json::value& line : v.at("explanation").as_array()) r.explanation.emplace_back(line.as_string());
    return r;
  } catch (const std::exception& e) {
    throw_bad_input("{}: is not what `fathom bench --json` writes ({})", where, e.what());
  }
}

std::string to_table(const BenchReport& r) {
  std::string out = fmt::format("{}: {} ({}), {:.1f} M parameters a token\n{}, {} kernels\n",
                                std::filesystem::path(r.model).filename().string(), human_bytes(r.model_bytes), r.types,
                                r.active_parameters / 1e6, r.cpu, r.isa);
  if (!r.peer.empty()) out += fmt::format("peer: {}\n", r.peer);
  for (size_t i = 0; i < r.runs.size(); ++i) {
    const EngineRun& run = r.runs[i];
    out += fmt::format("\n{} threads: load and first token {:.2f} s, peak memory {}", run.threads, run.load_seconds,
                       human_bytes(run.peak_memory_bytes));
    if (run.limits)
      out += fmt::format(
          "\nthis machine now (100 %): reads {:.1f} GB/s, multiplies and adds {:.0f} GFLOP/s in float32, {:.0f} Gop/s "
          "in "
          "bytes",
          run.limits->read_bytes_per_second / 1e9, run.limits->fp32_flops_per_second / 1e9,
          run.limits->int8_ops_per_second / 1e9);
    out += fmt::format("\n{:<32}{:>10}  {:<22}{:>8} {:>6}{:>9} {:>6}\n", "", "tokens/s", "(least to most)", "GB/s", "",
                       "GFLOP/s", "");
    for (size_t w = 0; w < run.timings.size(); ++w) out += own_row(run, w) + "\n";
    if (!run.profiles.empty())
      out += fmt::format("\nwhere the time goes\n{:<32}{:>10}  {:<22}{:>8} {:>6}{:>9} {:>6}\n", "", "ms", "", "GB/s",
                         "", "GFLOP/s", "");
    for (size_t w = 0; w < run.profiles.size(); ++w) out += profile_rows(run, w);
    if (i < r.peer_runs.size()) out += against_rows(run, r.peer_runs[i]);
  }
  return out;
}

}  // namespace fathom
