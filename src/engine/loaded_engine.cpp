#include "engine/loaded_engine.h"

#include "model/footprint.h"

namespace fathom {
namespace {

// What is wrong with the engine's options is said before anything is packed.
PackingOptions packing_options(const ModelConfig& config, const LoadedEngineOptions& o) {
  context_tokens(config, o.engine);
  PackingOptions packing = o.packing;
  if (!o.engine.numerics.is_quantised()) packing.place = WeightPlace::mapped;
  return packing;
}

MachineCosts costs_for(const Model& model, const LoadedEngineOptions& o) {
  if (o.tuning == Tuning::off || !o.engine.numerics.is_quantised() || !model.config.uses_mla()) return {};
  ModelWeights weights = model.weights;
  int64_t bytes = 0;
  for (const auto& [dtype, n] : weight_bytes(model.config, weights)) bytes += n;
  if (o.tuning == Tuning::large && bytes < kMeasuredBytes) return {};
  return machine_costs(o.packing.cache_folder, o.packing.notice);
}

EngineOptions with_costs(EngineOptions options, const MachineCosts& costs) {
  options.costs = costs.mla;
  return options;
}

}  // namespace

LoadedEngine::LoadedEngine(ThreadPool& pool, const Model& model, const LoadedEngineOptions& o)
    : weights(pool, model.config, model.weights, {model.source.get(), model.path}, packing_options(model.config, o)),
      costs(costs_for(model, o)),
      engine(pool, model.config, weights.weights(), with_costs(o.engine, costs)) {}

}  // namespace fathom
