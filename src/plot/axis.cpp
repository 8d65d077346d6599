#include "plot/axis.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace fathom {
namespace {

// The digits of `number` with at most `decimals` after the point, and no zeros at their end.
std::string short_number(double number, int decimals) {
  std::string text = fmt::format("{:.{}f}", number, std::clamp(decimals, 0, 15));
  if (text.find('.') != std::string::npos) {
    text.erase(text.find_last_not_of('0') + 1);
    if (text.back() == '.') text.pop_back();
  }
  return text == "-0" ? "0" : text;
}

struct Unit {
  double size;
  std::string suffix;
};

// What to divide the labels of an axis by whose greatest value is `greatest`.
Unit label_unit(double greatest) {
  static const std::array<Unit, 4> units = {{{1e12, "T"}, {1e9, "B"}, {1e6, "M"}, {1e3, "k"}}};
  if (greatest < 1e-2 || greatest >= 1e16) {
    const int exponent = static_cast<int>(std::floor(std::log10(greatest)));
    return {std::pow(10.0, exponent), fmt::format("e{}", exponent)};
  }
  if (greatest < 1e4) return {1, ""};
  return *std::find_if(units.begin(), units.end(), [&](const Unit& u) { return greatest >= u.size; });
}

std::string label(double value, double step, const Unit& unit) {
  if (value == 0) return "0";
  const int decimals = static_cast<int>(std::ceil(-std::log10(step / unit.size) - 1e-9));
  return short_number(value / unit.size, decimals) + unit.suffix;
}

// 1, 2 or 5 times a power of ten: the nearest to `wanted` as a ratio.
double round_step(double wanted) {
  const double power = std::pow(10.0, std::floor(std::log10(wanted))), rest = wanted / power;
  return power * (rest < std::sqrt(2.0) ? 1 : rest < std::sqrt(10.0) ? 2 : rest < std::sqrt(50.0) ? 5 : 10);
}

}  // namespace

double Axis::position(double value) const noexcept {
  const double v = logarithmic ? std::log10(std::max(value, 1e-300)) : value;
  return (v - low) / (high - low);
}

Axis linear_axis(double low, double high, int n_ticks) {
  const double greatest = std::max({std::abs(low), std::abs(high), 1e-300});
  if (high - low < 1e-6 * greatest) {  // one value, or as good as one
    const double middle = low / 2 + high / 2, half = 0.1 * std::abs(middle);
    low = middle - half;
    high = middle == 0 ? 1 : middle + half;
  }
  Axis axis{.low = low, .high = high, .logarithmic = false, .ticks = {}};
  const double step = round_step((high - low) / std::max(1, n_ticks));
  const Unit unit = label_unit(std::max(std::abs(low), std::abs(high)));
  for (double k = std::ceil(low / step - 1e-6); k * step <= high + 1e-6 * step; ++k)
    axis.ticks.push_back({k * step, label(k * step, step, unit)});
  return axis;
}

Axis logarithmic_axis(double low, double high) {
  Axis axis{.low = std::log10(low), .high = std::log10(high), .logarithmic = true, .ticks = {}};
  if (axis.high - axis.low < 0.1) {
    axis.low -= 0.05;
    axis.high += 0.05;
  }
  const double decades = axis.high - axis.low, every = std::ceil(decades / 6);
  for (double k = std::floor(axis.low); k <= axis.high; ++k)
    for (const double factor : {1.0, 2.0, 5.0}) {
      const double value = factor * std::pow(10.0, k), at = k + std::log10(factor);
      if (at < axis.low - 1e-9 || at > axis.high + 1e-9 || (decades > 3 && factor != 1)) continue;
      const bool labelled = decades <= 3 || std::fmod(std::abs(k), every) == 0;
      axis.ticks.push_back({value, labelled ? fmt::format("{:g}", value) : ""});
    }
  return axis;
}

ValueRange range_to_show(std::vector<double> values) {
  values.erase(std::remove_if(values.begin(), values.end(), [](double v) { return !std::isfinite(v); }), values.end());
  if (values.empty()) return {0, 1, false};
  std::sort(values.begin(), values.end());
  const auto quantile = [&](double q) {
    return values[static_cast<size_t>(q * static_cast<double>(values.size() - 1))];
  };
  const double low = values.front(), high = values.back(), usual = quantile(0.98), spread = usual - quantile(0.02);
  const bool is_cut = values.size() >= 100 && spread > 0 && high > usual + 4 * spread;
  return {low, is_cut ? usual + spread : high, is_cut};
}

}  // namespace fathom
