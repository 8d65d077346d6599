// What is known of a model's latents from running it over a text: how each layer maps its
// latent c_kv (C numbers, after kv_a_layernorm and its gain) to codes of few bits.
//     u_j = (c_j - zero_j) / scale_j,   code_j = the nearest of 2^bits levels to u_j,   c_j ~ scale_j level / 127 +
//     zero_j
// Scale and zero are of a channel and the levels of a layer, so that attention in latent space needs none of them: the
// scale is folded into the query and into what comes out, and the zero is the same for every row, hence without
// meaning in the softmax. Source: arXiv:2401.18079, sections 3.1 to 3.4 (nuqX).
#pragma once
#include <array>
#include <cstdint>
#include <vector>

namespace fathom {

inline constexpr int kLeastLevelBits = 2, kMostLevelBits = 6;

struct LayerCalibration {
  std::vector<float> scale, zero;  // (C), scale > 0
  // By bits: 2^bits levels in ascending order, in 1/127 of the scale. Empty below kLeastLevelBits.
  std::array<std::vector<int8_t>, kMostLevelBits + 1> levels;
};

struct LatentCalibration {
  std::vector<LayerCalibration> layers;
};

}  // namespace fathom
