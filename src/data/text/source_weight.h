// How often a source of training data may be seen in an epoch.
#pragma once

namespace fathom {

// What is beyond is a slip, and overflows where weights are added up.
inline constexpr double kLeastWeight = 1e-6, kMostWeight = 1e6;

}  // namespace fathom
