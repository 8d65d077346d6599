// A calibration of latents that have about unit variance: scales and zeros of the channels differ, levels are normal.
#pragma once
#include <cstdint>

#include "base/random.h"
#include "kvcache/latent_row.h"

namespace fathom::testing {

inline LayerCalibration random_calibration(int64_t C, uint64_t seed) {
  LayerCalibration layer;
  for (int64_t j = 0; j < C; ++j) {
    layer.scale.push_back(static_cast<float>(2 + uniform01(seed, 1, static_cast<uint64_t>(j))));
    layer.zero.push_back(static_cast<float>(uniform01(seed, 2, static_cast<uint64_t>(j)) - 0.5));
  }
  for (int bits = kLeastLevelBits; bits <= kMostLevelBits; ++bits) {
    const auto levels = normal_levels(bits).levels;
    layer.levels[static_cast<size_t>(bits)].assign(levels.begin(), levels.end());
  }
  return layer;
}

}  // namespace fathom::testing
