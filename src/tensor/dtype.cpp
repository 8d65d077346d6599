#include "tensor/dtype.h"

#include <cmath>

#include "base/text/suggest.h"

namespace fathom {

namespace {
template <class Match>
std::optional<DType> find_dtype(Match&& match) noexcept {
  for (const DTypeInfo& d : kDTypes)
    if (match(d)) return d.dtype;
  return std::nullopt;
}
}  // namespace

std::optional<DType> dtype_from_name(std::string_view name) noexcept {
  return find_dtype([&](const DTypeInfo& d) { return equal_in_any_case(d.name, name); });
}
std::optional<DType> dtype_from_safetensors(std::string_view name) noexcept {
  return find_dtype([&](const DTypeInfo& d) { return !name.empty() && d.safetensors == name; });
}
std::optional<DType> dtype_from_ggml(int64_t ggml_type) noexcept {
  return find_dtype([&](const DTypeInfo& d) { return ggml_type >= 0 && d.ggml_type == ggml_type; });
}

float f16_to_f32(uint16_t h) noexcept {
  const uint32_t sign = uint32_t{h & 0x8000u} << 16, exponent = h >> 10 & 0x1Fu, mantissa = h & 0x3FFu;
  if (exponent == 31) return std::bit_cast<float>(sign | 0x7F800000u | mantissa << 13);
  if (exponent != 0) return std::bit_cast<float>(sign | (exponent + 112) << 23 | mantissa << 13);
  const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;  // subnormal or zero, exact
  return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | sign);
}

uint16_t f32_to_f16(float f) noexcept {
  const uint32_t u = std::bit_cast<uint32_t>(f);
  const auto sign = static_cast<uint16_t>(u >> 16 & 0x8000u);
  const uint32_t magnitude = u & 0x7FFFFFFFu;
  if (magnitude > 0x7F800000u) return static_cast<uint16_t>(sign | 0x7E00u | (magnitude >> 13 & 0x3FFu));  // NaN
  if (magnitude >= 0x477FF000u) return sign | 0x7C00u;  // 65520 and above round to infinity
  if (magnitude < 0x38800000u) {                        // below 2^-14: subnormal
    // Adding 0.5 puts the half's last bit (2^-24) at the float's last bit, and the addition rounds to nearest even.
    const float shifted = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(shifted) - 0x3F000000u));
  }
  const uint32_t rounded = magnitude + 0xFFFu + (magnitude >> 13 & 1u);
  return static_cast<uint16_t>(sign | ((rounded >> 13) - (112u << 10)));
}

float f8_e4m3_to_f32(uint8_t b) noexcept {
  const uint32_t sign = uint32_t{b & 0x80u} << 24, exponent = b >> 3 & 0xFu, mantissa = b & 0x7u;
  if (exponent == 15 && mantissa == 7) return std::bit_cast<float>(sign | 0x7FC00000u);
  const float magnitude = exponent == 0 ? static_cast<float>(mantissa) * 0x1p-9f
                                        : std::bit_cast<float>((exponent + 120) << 23 | mantissa << 20);
  return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | sign);
}

uint8_t f32_to_f8_e4m3(float f) noexcept {
  const uint32_t u = std::bit_cast<uint32_t>(f);
  const auto sign = static_cast<uint8_t>(u >> 24 & 0x80u);
  const float magnitude = std::bit_cast<float>(u & 0x7FFFFFFFu);
  if (std::isnan(magnitude)) return sign | 0x7Fu;
  if (magnitude >= 448.0f) return sign | 0x7Eu;
  if (magnitude < 0x1p-6f) {                    // subnormal: multiples of 2^-9
    const float shifted = magnitude + 0x1p14f;  // puts 2^-9 at the last bit of the sum
    return static_cast<uint8_t>(sign | (std::bit_cast<uint32_t>(shifted) - std::bit_cast<uint32_t>(0x1p14f)));
  }
  const uint32_t m = std::bit_cast<uint32_t>(magnitude);
  const uint32_t rounded = m + 0x7FFFFu + (m >> 20 & 1u);
  return static_cast<uint8_t>(sign | ((rounded >> 20) - (120u << 3)));
}

}  // namespace fathom
