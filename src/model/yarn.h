// Rotary frequencies, with YaRN, and the scale of the attention scores.
//     theta_i = rope_theta^(-2i / d),  i = 0 .. d/2 - 1,  d the rotated width of a head
//     corr(r) = d * ln(L0 / (2 pi r)) / (2 ln rope_theta)
//     low = max(floor(corr(beta_fast)), 0),  high = min(ceil(corr(beta_slow)), d - 1)
//     ramp_i = clamp((i - low) / (high - low), 0, 1)          linear in the index, not in the number of rotations
//     w_i = theta_i * (1 - ramp_i) + theta_i / factor * ramp_i
//     m(a) = 0.1 * a * ln(factor) + 1 for factor > 1, else 1
//     amplitude of cos and sin = m(mscale) / m(mscale_all_dim)
//     softmax scale = (width of a query)^(-1/2) * m(mscale_all_dim)^2     (mscale_all_dim 0: without the square)
// Source: arXiv:2309.00071; arXiv:2405.04434 section 3.1.4. Frequencies and scale hold at every length once YaRN is on,
// as in DeepSeek's model code.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "config/config.h"
#include "tensor/view.h"

namespace fathom {

struct RotaryTable {
  std::vector<double> frequencies;  // w_i, radians per position
  double amplitude = 1;             // multiplies cos and sin; 1 in every released V2 model
};

RotaryTable make_rotary_table(const ModelConfig& config);
double softmax_scale(const ModelConfig& config);

// cos and sin of positions[t] * w_i, times the amplitude: (T, d/2) each, computed in double and rounded once.
// (References form the angle in float32; at position 131,072 theirs is uncertain by up to 0.01 radian.)
void rotary_cos_sin(const RotaryTable& table, std::span<const int32_t> positions, MatView<float> cosines,
                    MatView<float> sines);

}  // namespace fathom
