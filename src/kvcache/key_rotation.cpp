#include "kvcache/key_rotation.h"

#include <cmath>

namespace fathom {

KeyRotation::KeyRotation(std::span<const double> frequencies, double amplitude, int64_t positions)
    : pairs_(frequencies.size()), positions_(positions), amplitude_(static_cast<float>(amplitude)) {
  const auto add = [&](int64_t position, std::vector<float>& turns) {
    for (const double w : frequencies)
      turns.insert(turns.end(), 2, static_cast<float>(std::cos(static_cast<double>(position) * w)));
    for (const double w : frequencies) {
      const auto sine = static_cast<float>(std::sin(static_cast<double>(position) * w));
      turns.insert(turns.end(), {-sine, sine});
    }
  };
  for (int64_t p = 0; p < positions; p += kFine) add(p, coarse_);
  for (int64_t p = 0; p < kFine; ++p) add(p, fine_);
}

void KeyRotation::rotate(float* x, int64_t position) const noexcept {
  const size_t n = 2 * pairs_;
  for (const float* turn : {coarse(position), fine(position)})
    for (size_t i = 0; i < n; i += 2) {
      const float a = x[i], b = x[i + 1];
      x[i] = a * turn[i] + b * turn[n + i];
      x[i + 1] = b * turn[i + 1] + a * turn[n + i + 1];
    }
}

}  // namespace fathom
