#include "tensor/dtype.h"

#include <gtest/gtest.h>

#include <cmath>

namespace fathom {
namespace {

TEST(DType, HalfWidensExactlyAndNarrowsBack) {
  for (uint32_t h = 0; h < 65536; ++h) {
    const auto half = static_cast<uint16_t>(h);
    const float f = f16_to_f32(half);
    if (std::isnan(f)) continue;
    ASSERT_EQ(f32_to_f16(f), half) << h;
    ASSERT_EQ(f32_to_bf16(bf16_to_f32(half)), half) << h;
  }
  EXPECT_EQ(f16_to_f32(0x0001), 0x1p-24f);
  EXPECT_EQ(f16_to_f32(0x7BFF), 65504.0f);
  EXPECT_EQ(f32_to_f16(65519.9f), 0x7BFF);
  EXPECT_EQ(f32_to_f16(65520.0f), 0x7C00);
}

// The definition of rounding to nearest even: no neighbour is closer, and of two equally near ones the even one is
// taken.
template <class Narrow, class Widen>
void expect_nearest_even(Narrow narrow, Widen widen, uint32_t n_codes) {
  for (uint32_t code = 0; code + 1 < n_codes; ++code) {  // positive codes in ascending order of value
    const float low = widen(code), high = widen(code + 1);
    if (!std::isfinite(low) || !std::isfinite(high)) return;
    const float middle = low + (high - low) / 2;
    ASSERT_EQ(narrow(middle), code % 2 == 0 ? code : code + 1) << code;
    ASSERT_EQ(narrow(std::nextafter(middle, low)), code);
    ASSERT_EQ(narrow(std::nextafter(middle, high)), code + 1);
  }
}

TEST(DType, NarrowingRoundsToNearestEven) {
  expect_nearest_even([](float f) { return uint32_t{f32_to_f16(f)}; },
                      [](uint32_t c) { return f16_to_f32(static_cast<uint16_t>(c)); }, 0x7C00);
  expect_nearest_even([](float f) { return uint32_t{f32_to_f8_e4m3(f)}; },
                      [](uint32_t c) { return f8_e4m3_to_f32(static_cast<uint8_t>(c)); }, 0x7F);
  expect_nearest_even([](float f) { return uint32_t{f32_to_bf16(f)}; },
                      [](uint32_t c) { return bf16_to_f32(static_cast<uint16_t>(c)); }, 0x7F7F);
}

TEST(DType, Fp8IsE4M3WithoutInfinity) {
  EXPECT_EQ(f8_e4m3_to_f32(0x7E), 448.0f);
  EXPECT_TRUE(std::isnan(f8_e4m3_to_f32(0x7F)));
  EXPECT_TRUE(std::isnan(f8_e4m3_to_f32(0xFF)));
  EXPECT_EQ(f8_e4m3_to_f32(0x01), 0x1p-9f);
  EXPECT_EQ(f32_to_f8_e4m3(-1e9f), 0xFE);
}

TEST(DType, TheTableIsInTheOrderOfTheEnum) {
  for (size_t i = 0; i < kDTypes.size(); ++i) EXPECT_EQ(static_cast<size_t>(kDTypes[i].dtype), i);
  EXPECT_EQ(dtype_from_name("q4_k"), DType::q4_k);
  EXPECT_EQ(dtype_from_name("BF16"), DType::bf16) << "in any case";
  EXPECT_EQ(dtype_from_name("IQ4_nl"), DType::iq4_nl);
  EXPECT_EQ(dtype_from_name("q4_k "), std::nullopt);
  EXPECT_EQ(dtype_from_ggml(30), DType::bf16);
  EXPECT_EQ(dtype_from_ggml(-1), std::nullopt);
  EXPECT_EQ(dtype_from_safetensors(""), std::nullopt);
}

}  // namespace
}  // namespace fathom
