// Element types of stored tensors: one table, and the exact conversions of the plain ones.
#pragma once
#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <string_view>

namespace fathom {

enum class DType : uint8_t {
  f32,
  f16,
  bf16,
  f8_e4m3,
  q8_0,
  q4_0,
  q4_1,
  q5_0,
  q5_1,
  q2_k,
  q3_k,
  q4_k,
  q5_k,
  q6_k,
  iq4_nl,
  iq4_xs
};

struct DTypeInfo {
  DType dtype;
  std::string_view name;         // what fathom prints and takes: "f32", "q4_k"
  std::string_view safetensors;  // "F32"; empty: no safetensors form
  int ggml_type;                 // id in a GGUF file; -1: no GGUF form
  int block_elements;            // elements that share one block; rows hold whole blocks
  int block_bytes;
};

inline constexpr std::array<DTypeInfo, 16> kDTypes = {{
    {DType::f32, "f32", "F32", 0, 1, 4},
    {DType::f16, "f16", "F16", 1, 1, 2},
    {DType::bf16, "bf16", "BF16", 30, 1, 2},
    {DType::f8_e4m3, "f8_e4m3", "F8_E4M3", -1, 1, 1},
    {DType::q8_0, "q8_0", "", 8, 32, 34},
    {DType::q4_0, "q4_0", "", 2, 32, 18},
    {DType::q4_1, "q4_1", "", 3, 32, 20},
    {DType::q5_0, "q5_0", "", 6, 32, 22},
    {DType::q5_1, "q5_1", "", 7, 32, 24},
    {DType::q2_k, "q2_k", "", 10, 256, 84},
    {DType::q3_k, "q3_k", "", 11, 256, 110},
    {DType::q4_k, "q4_k", "", 12, 256, 144},
    {DType::q5_k, "q5_k", "", 13, 256, 176},
    {DType::q6_k, "q6_k", "", 14, 256, 210},
    {DType::iq4_nl, "iq4_nl", "", 20, 32, 18},
    {DType::iq4_xs, "iq4_xs", "", 23, 256, 136},
}};

constexpr const DTypeInfo& info(DType t) noexcept { return kDTypes[static_cast<size_t>(t)]; }
constexpr std::string_view name(DType t) noexcept { return info(t).name; }
// In any case: "Q4_K" too.
std::optional<DType> dtype_from_name(std::string_view name) noexcept;
std::optional<DType> dtype_from_safetensors(std::string_view name) noexcept;
std::optional<DType> dtype_from_ggml(int64_t ggml_type) noexcept;

// Bytes of `cols` elements, a multiple of block_elements.
constexpr int64_t row_bytes(DType t, int64_t cols) noexcept {
  return cols / info(t).block_elements * info(t).block_bytes;
}

// bfloat16: the upper half of a float. Widening is exact; narrowing rounds to nearest even, and NaN stays NaN.
constexpr float bf16_to_f32(uint16_t h) noexcept { return std::bit_cast<float>(uint32_t{h} << 16); }
constexpr uint16_t f32_to_bf16(float f) noexcept {
  const uint32_t u = std::bit_cast<uint32_t>(f);
  if ((u & 0x7FFFFFFFu) > 0x7F800000u) return static_cast<uint16_t>(u >> 16 | 0x40u);
  return static_cast<uint16_t>((u + 0x7FFFu + (u >> 16 & 1u)) >> 16);
}

// IEEE half. Widening is exact (subnormals too); narrowing rounds to nearest even and overflows to infinity.
float f16_to_f32(uint16_t h) noexcept;
uint16_t f32_to_f16(float f) noexcept;

// FP8 E4M3 ("fn": no infinity, 0x7F and 0xFF are NaN, largest 448), widening exact; narrowing rounds to nearest even
// and saturates at 448.
float f8_e4m3_to_f32(uint8_t b) noexcept;
uint8_t f32_to_f8_e4m3(float f) noexcept;

}  // namespace fathom
