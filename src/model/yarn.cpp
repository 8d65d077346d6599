#include "model/yarn.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace fathom {
namespace {

double magnitude_scale(double factor, double a) { return factor > 1 ? 0.1 * a * std::log(factor) + 1 : 1; }

}  // namespace

RotaryTable make_rotary_table(const ModelConfig& config) {
  const auto d = static_cast<double>(config.rope_dim());
  RotaryTable table;
  table.frequencies.resize(static_cast<size_t>(config.rope_dim() / 2));
  for (size_t i = 0; i < table.frequencies.size(); ++i)
    table.frequencies[i] = std::pow(config.rope_theta, -2 * static_cast<double>(i) / d);
  if (!config.rope_scaling) return table;

  const YarnScaling& yarn = *config.rope_scaling;
  const auto corr = [&](double rotations) {
    const auto length = static_cast<double>(yarn.original_max_position_embeddings);
    return d * std::log(length / (2 * std::numbers::pi * rotations)) / (2 * std::log(config.rope_theta));
  };
  const double low = std::max(std::floor(corr(yarn.beta_fast)), 0.0);
  double high = std::min(std::ceil(corr(yarn.beta_slow)), d - 1);
  if (low == high) high += 0.001;  // as the reference does, against division by zero
  for (size_t i = 0; i < table.frequencies.size(); ++i) {
    const double ramp = std::clamp((static_cast<double>(i) - low) / (high - low), 0.0, 1.0);
    table.frequencies[i] = table.frequencies[i] * (1 - ramp) + table.frequencies[i] / yarn.factor * ramp;
  }
  table.amplitude = magnitude_scale(yarn.factor, yarn.mscale) / magnitude_scale(yarn.factor, yarn.mscale_all_dim);
  return table;
}

double softmax_scale(const ModelConfig& config) {
  const double scale = 1 / std::sqrt(static_cast<double>(config.qk_head_dim()));
  if (!config.rope_scaling) return scale;
  const double m = magnitude_scale(config.rope_scaling->factor, config.rope_scaling->mscale_all_dim);
  return scale * m * m;
}

void rotary_cos_sin(const RotaryTable& table, std::span<const int32_t> positions, MatView<float> cosines,
                    MatView<float> sines) {
  for (size_t t = 0; t < positions.size(); ++t) {
    for (size_t i = 0; i < table.frequencies.size(); ++i) {
      const double angle = positions[t] * table.frequencies[i];
      cosines(static_cast<int64_t>(t), static_cast<int64_t>(i)) = static_cast<float>(std::cos(angle) * table.amplitude);
      sines(static_cast<int64_t>(t), static_cast<int64_t>(i)) = static_cast<float>(std::sin(angle) * table.amplitude);
    }
  }
}

}  // namespace fathom
