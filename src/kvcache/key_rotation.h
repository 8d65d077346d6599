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

 private:
  struct Turn {
    float cos, sin;
  };
  static void turn(float* x, std::span<const Turn> by) noexcept;

  size_t pairs_ = 0;
  int64_t positions_ = 0;
  float amplitude_ = 1;
  std::vector<Turn> coarse_, fine_;  // (multiples of 64, pairs), (64, pairs)
};

}  // namespace fathom
