// A whole benchmark: works on one or several thread counts, held against the machine's limits and against a peer.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "base/json/json.h"
#include "engine/loaded_engine.h"
#include "load/load.h"
#include "measure/cost.h"
#include "measure/limits.h"
#include "measure/measure.h"
#include "measure/peer.h"
#include "measure/profile.h"

namespace fathom {

struct BenchOptions {
  std::string model;
  LoadedEngineOptions engine;  // context_tokens and cache_tokens are chosen here
  NumaTopology numa;
  std::vector<int> threads;  // each gets its own engine, one after the other; empty: the CPUs of this process
  std::vector<Work> works;   // empty: default_works()
  MeasureOptions measure;
  bool limits = true, quiet = false;
};

// What was measured of one engine with one number of threads. Times are medians over all repetitions.
struct EngineRun {
  int threads = 0;
  double load_seconds = 0;  // until the first token is known; of the first engine from opening the file on
  double peak_memory_bytes = 0;
  std::vector<Timing> timings;
  std::vector<PartCosts> costs;
  std::vector<Profile> profiles;  // of each work, where they were wanted
  std::optional<MachineLimits> limits;
  std::vector<std::string> settings;  // of a peer: how each work was run
};

struct BenchReport {
  std::string model, types;  // path; "q4_0 8.4 GB, f32 12.1 MB"
  double model_bytes = 0, active_parameters = 0;
  std::string cpu, isa, peer;              // peer: "llama.cpp v0.5.0 (AVX2, ...)"; empty: none
  std::vector<EngineRun> runs, peer_runs;  // peer_runs: as many as runs, or none
  std::vector<std::string> explanation;
};

// 512 tokens of prefill and one sequence's decode at depth 0, 4096 and 8192, and decodes of 8 and 32 sequences; of
// these what fits the model's context, with a half of the context as depth when no other does.
std::vector<Work> default_works(const ModelConfig& config, const WorkLists& lists, bool depths_given);

// bad_input when a work is longer than the model's context.
void check_works(const ModelConfig& config, const std::vector<Work>& works);

BenchReport run_bench(const BenchOptions& options);

// The same works by fathom and by the peer in turn, `rounds` times, each turn a process of its own that runs every work
// once, so that no more than one model is in memory. The first round runs all variants of the peer (peer_variants); the
// later ones the fastest of each work. fathom: the program to run for its turns.
BenchReport run_against(const BenchOptions& options, const Peer& peer, int rounds, const std::string& fathom);

// One sentence each: instruction set, arithmetic, cache, chunk, form of attention at the works' depths, huge pages.
std::vector<std::string> explain(LoadedEngine& loaded, const BenchOptions& options);

json::value to_json(const BenchReport& report);
BenchReport report_from_json(const json::value& value, const std::string& where);
std::string to_table(const BenchReport& report);

}  // namespace fathom
