// A loaded model made ready to run: its weights packed, the costs of this machine known, and an engine over both.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>

#include "engine/engine.h"
#include "engine/tuning/machine_costs.h"
#include "load/load.h"
#include "packing/weight_store.h"

namespace fathom {

// Which costs the form of attention is chosen by (model/attention/int16/mla_costs.h). off: those that are built in, the
// same on every machine. large: those of this machine (engine/tuning/machine_costs.h) where latent attention runs in
// quantised arithmetic and the weights have at least kMeasuredBytes, beside which half a second of measuring is
// nothing. always: of any size.
enum class Tuning : uint8_t { off, large, always };
inline constexpr std::array<std::string_view, 3> kTuningNames = {"off", "large", "always"};
inline constexpr int64_t kMeasuredBytes = int64_t{1} << 30;

struct LoadedEngineOptions {
  EngineOptions engine = {};    // its costs are set here
  PackingOptions packing = {};  // in quantised arithmetic alone; its cache_folder also keeps this machine's costs
  Tuning tuning = Tuning::off;
};

// The model and the pool must outlive it. Errors as of WeightStore and Engine.
struct LoadedEngine {
  LoadedEngine(ThreadPool& pool, const Model& model, const LoadedEngineOptions& options);

  WeightStore weights;
  MachineCosts costs;
  Engine engine;
};

}  // namespace fathom
