// Times work on an engine.
#pragma once
#include <functional>
#include <vector>

#include "base/trace.h"
#include "engine/engine.h"
#include "measure/work.h"

namespace fathom {

// How the depth of a work comes into the cache before the clock starts. random: rows of random numbers, for which a
// cache of any depth takes no time and whose speed is that of any others; prefill: random tokens are really run.
enum class Fill : uint8_t { random, prefill };

struct MeasureOptions {
  int repetitions = 0;  // 0: up to 5, as many as fit in kFairSeconds, at least one
  Fill fill = Fill::random;
  bool profile = false;  // Timing::zones
};

inline constexpr double kFairSeconds = 4;
inline constexpr int kMostRepetitions = 5;

struct Timing {
  Work work;
  std::vector<double> seconds;       // of each repetition, at least one
  std::vector<ZoneTime> zones = {};  // of all repetitions together, where they are profiled

  double tokens_per_second(double s) const noexcept { return static_cast<double>(work.total_tokens()) / s; }
};

// Median of at least one number; of an even count the mean of the middle two.
double median(std::vector<double> values);

// Room in the cache that these works need, over all sequences, rounded up to blocks.
int64_t cache_tokens_for(const std::vector<Work>& works);

// Runs the works on one engine, the deepest of the same number of sequences first, so that a depth is filled once and
// then cut back. The engine's cache must have room for cache_tokens_for(works). Each work is warmed up by a step that
// is not timed. on_start is told what begins. The result is in the order of `works`.
std::vector<Timing> measure(Engine& engine, const std::vector<Work>& works, const MeasureOptions& options,
                            const std::function<void(const Work&)>& on_start);

}  // namespace fathom
