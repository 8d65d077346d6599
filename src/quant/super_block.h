// How the K formats and iq4_xs are encoded. A super-block has an f16 scale d (and dmin); each of its groups of 16 or 32
// elements a small integer scale (and min); each element a code. Three steps, each minimising the weighted squared
// error with what was fixed before held:
//   1. per group, in real numbers: the fits of quant/group_fit.h.
//   2. d (and dmin) make the largest group scale (and min) the largest integer; f16 rounds them.
//   3. per group: the integer scale (and min) nearest to step 1's, and codes that are nearest under these.
// Search::thorough goes on from there, twice: d (and dmin) by least squares for the codes and integers found, then per
// group the best of the integers beside the nearest ones.
#pragma once
#include <array>

#include "quant/encode.h"
#include "quant/group_fit.h"

namespace fathom {

// What the formats of one kind differ in.
struct BlockShape {
  float max_code, max_scale;
  Grids grids;
};

// x ~ d scale q - dmin min
struct AffineBlock {
  uint16_t d, dmin;
  std::array<uint8_t, 16> scale, min;
  std::array<uint8_t, kSuperBlock> q;
};

// x ~ d scale level(q), groups of 16 or 32
struct SymmetricBlock {
  uint16_t d;
  std::array<int8_t, 16> scale;
  std::array<uint8_t, kSuperBlock> q;
};

// N: elements of a group, 16 or 32. w: a weight for each element.
template <size_t N>
AffineBlock encode_affine(const float* x, const float* w, const BlockShape& shape, Search search) noexcept;
template <size_t N, class Levels>
SymmetricBlock encode_symmetric(const float* x, const float* w, const Levels& levels, const BlockShape& shape,
                                Search search) noexcept;

}  // namespace fathom
