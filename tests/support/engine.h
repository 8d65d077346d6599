// An engine with a pool of its own, for tests that run one model.
#pragma once
#include "engine/loaded_engine.h"

namespace fathom::testing {

// Those of LoadedEngineOptions that tests set, in one list.
struct TestEngineOptions {
  int threads = 1;
  int64_t context_tokens = 0, cache_tokens = 0, chunk_tokens = 0;
  std::optional<CacheType> cache_type = {};
  Numerics numerics = Numerics::exact();
  WeightPlace weights = WeightPlace::automatic;
  std::filesystem::path cache_folder = {};
  Tuning tuning = Tuning::off;
  NumaTopology numa = {};
  std::function<void(int64_t bytes_done, int64_t bytes)> load_progress = {};
  std::function<void(const std::string& sentence)> notice = {};
};

inline LoadedEngineOptions loaded_options(const TestEngineOptions& o) {
  return {
      .engine = {.context_tokens = o.context_tokens,
                 .cache_tokens = o.cache_tokens,
                 .chunk_tokens = o.chunk_tokens,
                 .cache_type = o.cache_type,
                 .numerics = o.numerics},
      .packing = {.place = o.weights, .cache_folder = o.cache_folder, .progress = o.load_progress, .notice = o.notice},
      .tuning = o.tuning};
}

struct PoolOfEngine {
  ThreadPool pool;
};

// The model must outlive it.
struct TestEngine : PoolOfEngine, LoadedEngine {
  TestEngine(const Model& model, const TestEngineOptions& o)
      : PoolOfEngine{ThreadPool(o.threads, o.numa)}, LoadedEngine(pool, model, loaded_options(o)) {}
};

}  // namespace fathom::testing
