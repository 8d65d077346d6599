#include <algorithm>

#include "base/progress.h"
#include "measure/bench.h"
#include "measure/process.h"

namespace fathom {
namespace {

// One turn of fathom: all works once, in a process of its own.
BenchReport fathom_turn(const BenchOptions& o, const std::string& program, int threads) {
  const EngineOptions& e = o.engine.engine;
  std::vector<std::string> command = {program, "bench", "--json", "--quiet", "--no-limits", "--repetitions", "1"};
  for (const auto& [option, value] : std::initializer_list<std::pair<const char*, std::string>>{
           {"-m", o.model},
           {"-t", std::to_string(threads)},
           {"--fill", o.measure.fill == Fill::random ? "random" : "prefill"},
           {"--activations", e.numerics.rounds_activations() ? "bf16" : "f32"},
           {"--arithmetic", e.numerics.is_quantised() ? "fast" : "exact"},
           {"--weights", std::string(kWeightPlaceNames[static_cast<size_t>(o.engine.packing.place)])}})
    command.insert(command.end(), {option, value});
  if (e.cache_type)
    command.insert(command.end(), {"--cache-type", std::string(kCacheTypeNames[static_cast<size_t>(*e.cache_type)])});
  for (const Work& w : o.works) command.insert(command.end(), {"--work", to_text(w)});
  const ProcessResult r = run_process(command);
  if (r.status != 0) throw_bad_input("fathom bench ends with {}: {}", r.status, last_line(r.errors));
  return report_from_json(parse_json(r.out, "fathom bench --json"), "fathom bench --json");
}

void add(EngineRun& to, const EngineRun& turn) {
  if (to.timings.empty()) {
    to = turn;
    return;
  }
  to.load_seconds = std::min(to.load_seconds, turn.load_seconds);
  to.peak_memory_bytes = std::max(to.peak_memory_bytes, turn.peak_memory_bytes);
  for (size_t i = 0; i < to.timings.size(); ++i)
    to.timings[i].seconds.insert(to.timings[i].seconds.end(), turn.timings[i].seconds.begin(),
                                 turn.timings[i].seconds.end());
}

// The peer's turns with one number of threads: variants first, then the best of each work.
class PeerTurns {
 public:
  PeerTurns(const BenchOptions& o, const Peer& peer, int threads) : o_(o), peer_(peer) {
    run_.threads = threads;
    for (const Work& w : o.works)
      for (const PeerWork& variant : peer_variants(w)) next_.push_back(variant);
  }

  void turn(std::string& system) {
    const PeerRun r = peer_.run(o_.model, run_.threads, o_.measure.fill, next_, [&](const std::string& work) {
      if (!o_.quiet) fmt::print(stderr, "{} threads: llama.cpp, {}\n", run_.threads, work);
    });
    system = r.system;
    std::vector<PeerWork> best;
    EngineRun turn;
    turn.threads = run_.threads;
    turn.load_seconds = r.load_seconds;
    turn.peak_memory_bytes = r.peak_memory_bytes;
    for (size_t i = 0; i < next_.size(); ++i) {
      if (best.empty() || !(best.back().work == next_[i].work)) {
        best.push_back(next_[i]);
        turn.timings.push_back({next_[i].work, {r.seconds[i]}});
      } else if (r.seconds[i] < turn.timings.back().seconds[0]) {
        best.back() = next_[i];
        turn.timings.back().seconds[0] = r.seconds[i];
      }
    }
    next_ = best;
    add(run_, turn);
  }

  EngineRun result() {
    for (const PeerWork& w : next_) run_.settings.push_back(w.settings());
    return run_;
  }

 private:
  const BenchOptions& o_;
  const Peer& peer_;
  EngineRun run_;
  std::vector<PeerWork> next_;
};

}  // namespace

BenchReport run_against(const BenchOptions& o, const Peer& peer, int rounds, const std::string& fathom) {
  BenchReport report;
  std::string system;
  std::vector<int> threads = o.threads;
  if (threads.empty()) threads = {default_thread_count()};
  for (const int n : threads) {
    EngineRun own;
    PeerTurns turns(o, peer, n);
    for (int round = 0; round < rounds; ++round) {
      if (!o.quiet) fmt::print(stderr, "{} threads: round {} of {}\n", n, round + 1, rounds);
      BenchReport turn = fathom_turn(o, fathom, n);
      add(own, turn.runs.at(0));
      if (report.model.empty()) {
        report = turn;
        report.runs.clear();
      }
      turns.turn(system);
    }
    if (o.limits) {
      ThreadPool pool(n);
      own.limits = measure_limits(pool);
    }
    report.runs.push_back(own);
    report.peer_runs.push_back(turns.result());
  }
  report.peer = fmt::format("llama.cpp {} ({})", peer.release(), system);
  return report;
}

}  // namespace fathom
