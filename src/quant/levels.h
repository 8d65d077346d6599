// The numbers that a code may stand for, in units of a scale, for the formats whose levels lie on both sides of zero:
// evenly spaced ones, and the table of iq4_nl and iq4_xs. Used by group_fit.h, encode_small.cpp and super_block.cpp.
#pragma once
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>

#include "quant/formats.h"
#include "quant/lanes.h"

namespace fathom {

// low, low + 1, ... high; codes count from low on.
struct EvenLevels {
  float low, high;

  // The nearest levels to v; NaN gives low.
  Float4 nearest(Float4 v) const noexcept { return nearest4(min4(max4(v, splat4(low)), splat4(high))); }
  uint8_t code(float level) const noexcept { return static_cast<uint8_t>(static_cast<int>(level - low)); }
  float level(uint8_t code) const noexcept { return static_cast<float>(code) + low; }
};

// kIq4Levels. Levels are whole, so that the middle of two is a multiple of a half: which level is nearest depends on
// floor(2 v) alone, and a table has it.
struct Iq4Levels {
  static constexpr float low = kIq4Levels.front(), high = kIq4Levels.back();
  static constexpr size_t kHalves = 2 * (127 + 113) + 1;
  static constexpr std::array<uint8_t, kHalves> kNearest = [] {
    std::array<uint8_t, kHalves> nearest{};
    size_t code = 0;
    for (size_t i = 0; i < kHalves; ++i) {  // v in [i / 2 - 127, i / 2 - 126.5)
      const int twice = static_cast<int>(i) - 2 * 127;
      while (code + 1 < kIq4Levels.size() && twice >= kIq4Levels[code] + kIq4Levels[code + 1]) ++code;
      nearest[i] = static_cast<uint8_t>(code);
    }
    return nearest;
  }();
  static constexpr std::array<float, kHalves> kNearestLevel = [] {
    std::array<float, kHalves> nearest{};
    for (size_t i = 0; i < kHalves; ++i) nearest[i] = kIq4Levels[kNearest[i]];
    return nearest;
  }();

  Float4 nearest(Float4 v) const noexcept {
    const Int4 i = truncate4((min4(max4(v, splat4(low)), splat4(high)) - low) * 2.0f);
    return Float4{kNearestLevel[static_cast<size_t>(i[0])], kNearestLevel[static_cast<size_t>(i[1])],
                  kNearestLevel[static_cast<size_t>(i[2])], kNearestLevel[static_cast<size_t>(i[3])]};
  }
  uint8_t code(float level) const noexcept { return kNearest[static_cast<size_t>((level - low) * 2.0f)]; }
  float level(uint8_t code) const noexcept { return kIq4Levels[code]; }
};

}  // namespace fathom
