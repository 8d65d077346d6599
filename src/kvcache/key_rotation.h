// The rotation of keys that a cache keeps without it, to the position that they are read at.
//     (a, b) -> (a cos - b sin, a sin + b cos) of neighbours x_2i, x_2i+1, by position w_i
// in two turns: by the multiple of 64 in the position, then by the rest, so that a few small tables reach any position.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

namespace fathom {

class KeyRotation {
 public:
  KeyRotation() = default;
  // For positions below `positions`; angles are formed in double.
  KeyRotation(std::span<const double> frequencies, double amplitude, int64_t positions);

  int64_t positions() const noexcept { return positions_; }
  float amplitude() const noexcept { return amplitude_; }
  // x (2 pairs) in place, without the amplitude.
  void rotate(float* x, int64_t position) const noexcept;

  // The two turns of a position, (2, 2 pairs) each: the cosine of each pair twice, then its sine as -sin, sin.
  const float* coarse(int64_t position) const noexcept { return turn(coarse_, position / kFine); }
  const float* fine(int64_t position) const noexcept { return turn(fine_, position % kFine); }

 private:
  static constexpr int64_t kFine = 64;
  const float* turn(const std::vector<float>& turns, int64_t i) const noexcept {
    return turns.data() + static_cast<size_t>(i) * 4 * pairs_;
  }

  size_t pairs_ = 0;
  int64_t positions_ = 0;
  float amplitude_ = 1;
  std::vector<float> coarse_, fine_;  // of multiples of 64, and of what is below
};

}  // namespace fathom
