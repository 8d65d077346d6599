#include "measure/bench.h"

#include <algorithm>

#include "base/machine/cpu.h"
#include "base/progress.h"
#include "kernels/dispatch.h"
#include "kernels/peak.h"
#include "model/footprint.h"

namespace fathom {
namespace {

bool fits(const ModelConfig& config, const Work& w) { return w.positions() <= config.max_position_embeddings; }

std::string stored_types(const ModelConfig& config, const ModelWeights& weights) {
  ModelWeights walked = weights;
  std::string text;
  for (const auto& [dtype, bytes] : weight_bytes(config, walked))
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", name(dtype), human_bytes(static_cast<double>(bytes)));
  return text;
}

void say(const BenchOptions& o, int threads, const Work& work) {
  if (!o.quiet) fmt::print(stderr, "{} threads: {}\n", threads, describe(work));
}

EngineRun run_threads(const BenchOptions& o, const Model& model, int threads, double start,
                      std::vector<std::string>& explanation) {
  EngineRun run;
  LoadedEngineOptions options = o.engine;
  options.engine.context_tokens = model.config.max_position_embeddings;
  options.engine.cache_tokens = cache_tokens_for(o.works);
  ThreadPool pool(threads, o.numa);
  LoadedEngine loaded(pool, model, options);
  Engine& engine = loaded.engine;
  SequenceCache first;
  const int32_t id = 0;
  engine.append(first, std::span(&id, 1));
  engine.cache().truncate(first, 0);
  run.load_seconds = clock_seconds() - start;
  run.threads = engine.threads();
  run.timings = measure(engine, o.works, o.measure, [&](const Work& w) { say(o, run.threads, w); });
  run.peak_memory_bytes = static_cast<double>(peak_memory_bytes());
  const CostModel cost(model.config, model.weights, engine.cache().layout());
  for (const Work& w : o.works) run.costs.push_back(cost.work_parts(w, engine.chunk_tokens()));
  if (o.measure.profile)
    for (const Timing& t : run.timings) run.profiles.push_back(profile_of(t, run.threads));
  explanation = explain(loaded, o);
  return run;
}

}  // namespace

std::vector<Work> default_works(const ModelConfig& config, const WorkLists& lists, bool depths_given) {
  std::vector<Work> works = list_works(lists);
  if (depths_given) return works;
  works.erase(std::remove_if(works.begin(), works.end(), [&](const Work& w) { return !fits(config, w); }), works.end());
  if (std::all_of(works.begin(), works.end(), [](const Work& w) { return w.depth == 0; })) {
    const Work deep{WorkKind::decode, lists.steps, config.max_position_embeddings / 2, 1};
    if (fits(config, deep)) works.push_back(deep);
  }
  return works;
}

void check_works(const ModelConfig& config, const std::vector<Work>& works) {
  if (works.empty())
    throw_bad_input("no work fits the model's context of {} tokens; try a smaller --prompt or -n",
                    config.max_position_embeddings);
  for (const Work& w : works)
    if (!fits(config, w))
      throw_bad_input("{}: needs {} positions, the model's context has {}; try a smaller --depth, --prompt or -n",
                      describe(w), w.positions(), config.max_position_embeddings);
}

BenchReport run_bench(const BenchOptions& o) {
  const double start = clock_seconds();
  const Model model = load_model(o.model);
  check_works(model.config, o.works);
  BenchReport report;
  report.model = o.model;
  report.types = stored_types(model.config, model.weights);
  report.cpu = cpu_model_name();
  report.isa = name(kernels().isa);
  const CostModel cost(model.config, model.weights, cache_layout(model.config, CacheType::f32));
  report.model_bytes = cost.total_bytes();
  report.active_parameters = cost.active().total();
  std::vector<int> threads = o.threads;
  if (threads.empty()) threads = {default_thread_count()};
  for (const int n : threads) {
    const double since = report.runs.empty() ? start : clock_seconds();
    report.runs.push_back(run_threads(o, model, n, since, report.explanation));
  }
  if (o.limits)  // after all works: its buffer is no part of their peak memory
    for (EngineRun& run : report.runs) {
      if (!o.quiet) fmt::print(stderr, "{} threads: the machine's limits\n", run.threads);
      ThreadPool pool(run.threads);
      run.limits = measure_limits(pool);
    }
  return report;
}

}  // namespace fathom
