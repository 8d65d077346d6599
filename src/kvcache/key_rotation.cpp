#include "kvcache/key_rotation.h"

#include <cmath>

namespace fathom {
namespace {

constexpr int64_t kFine = 64;

}  // namespace

KeyRotation::KeyRotation(std::span<const double> frequencies, double amplitude, int64_t positions)
    : pairs_(frequencies.size()), positions_(positions), amplitude_(static_cast<float>(amplitude)) {
  const auto add = [&](int64_t position, std::vector<Turn>& table) {
    for (const double w : frequencies) {
      const double angle = static_cast<double>(position) * w;
      table.push_back({static_cast<float>(std::cos(angle)), static_cast<float>(std::sin(angle))});
    }
  };
  for (int64_t p = 0; p < positions; p += kFine) add(p, coarse_);
  for (int64_t p = 0; p < kFine; ++p) add(p, fine_);
}

void KeyRotation::turn(float* x, std::span<const Turn> by) noexcept {
  for (const Turn& t : by) {
    const float a = x[0], b = x[1];
    x[0] = a * t.cos - b * t.sin;
    x[1] = a * t.sin + b * t.cos;
    x += 2;
  }
}

void KeyRotation::rotate(float* x, int64_t position) const noexcept {
  const auto row = [&](const std::vector<Turn>& table, int64_t i) {
    return std::span<const Turn>(table).subspan(static_cast<size_t>(i) * pairs_, pairs_);
  };
  turn(x, row(coarse_, position / kFine));
  turn(x, row(fine_, position % kFine));
}

}  // namespace fathom
