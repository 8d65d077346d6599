#include "kvcache/latent_row.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "kvcache/cache_row.h"
#include "support/calibration.h"

namespace fathom {
namespace {

constexpr CacheType kLatentTypes[] = {CacheType::v2_6bit, CacheType::nuq5, CacheType::nuq4,
                                      CacheType::nuq3,    CacheType::q6,   CacheType::q4};

std::vector<float> normal_row(int64_t n, uint64_t seed) {
  std::vector<float> x(static_cast<size_t>(n));
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(standard_normal(seed, 1, i));
  return x;
}

LatentCoder coder_of(CacheType type, int64_t C, int64_t R) {
  const LatentFormat& format = *latent_format(type);
  const LayerCalibration calibration = testing::random_calibration(C, 3);
  return {LatentRow(format, C, R), format.calibrated ? &calibration : nullptr};
}

// The budget of V2's rows, worked by hand: planes, 64 codes of the rotary key and its scale, gain, 4 bytes an outlier.
TEST(LatentRow, BytesOfV2sRowsAreThoseOfTheBudget) {
  const auto bytes = [](CacheType type) { return CacheRow{type, 576, 64}.bytes(); };
  EXPECT_EQ(bytes(CacheType::v2_6bit), 320 + 64 + 2 + 2 + 11 * 4);
  EXPECT_EQ(bytes(CacheType::v2_6bit) * 8, 576 * 6);  // 6.00 bits, everything counted
  EXPECT_EQ(bytes(CacheType::nuq5), 320 + 64 + 2 + 5 * 4);
  EXPECT_EQ(bytes(CacheType::nuq4), 256 + 64 + 2 + 5 * 4);
  EXPECT_EQ(bytes(CacheType::nuq3), 192 + 64 + 2 + 5 * 4);
  EXPECT_EQ(bytes(CacheType::q6), 384 + 64 + 2 + 2);
  EXPECT_EQ(bytes(CacheType::q4), 256 + 64 + 2 + 2);
}

TEST(LatentRow, WhatIsStoredComesBackAndRowsDoNotTouch) {
  for (const CacheType type : kLatentTypes)
    for (const auto& [C, R] : {std::pair<int64_t, int64_t>{512, 64}, {64, 16}, {147, 8}, {16, 2}}) {
      const LatentCoder coder = coder_of(type, C, R);
      std::vector<std::byte> block(static_cast<size_t>(kBlockTokens * coder.row().bytes()), std::byte{0xA5});
      for (int64_t i = 0; i < kBlockTokens; ++i)
        coder.store(normal_row(C + R, static_cast<uint64_t>(i)).data(), block.data(), i);
      for (int64_t i = 0; i < kBlockTokens; ++i) {
        const LatentCodes want = coder.encode(normal_row(C + R, static_cast<uint64_t>(i)).data()),
                          got = coder.codes(block.data(), i);
        ASSERT_EQ(got.codes, want.codes) << static_cast<int>(type) << ' ' << C << ' ' << i;
        EXPECT_EQ(got.tail, want.tail);
        EXPECT_EQ(got.tail_scale, want.tail_scale);
        EXPECT_EQ(got.gain, want.gain);
        ASSERT_EQ(got.residuals.size(), want.residuals.size());
        for (size_t k = 0; k < got.residuals.size(); ++k) {
          EXPECT_EQ(got.residuals[k].column, want.residuals[k].column);
          EXPECT_EQ(got.residuals[k].value, want.residuals[k].value);
        }
      }
    }
}

// The least squared error of a normal distribution (Max 1960): 0.009497 with 16 levels, 0.000644 with 64.
TEST(LatentRow, CalibrationFreeRowsHaveTheErrorOfTheBestLevelsForNormalNumbers) {
  const int64_t C = 512, R = 64;
  for (const auto& [type, error] : {std::pair{CacheType::q4, 0.0095}, {CacheType::q6, 0.00067}}) {
    const LatentCoder coder = coder_of(type, C, R);
    std::vector<std::byte> block(static_cast<size_t>(kBlockTokens * coder.row().bytes()));
    double squares = 0, energy = 0;
    for (int64_t i = 0; i < kBlockTokens; ++i) {
      auto x = normal_row(C + R, static_cast<uint64_t>(i));
      x[7] *= 30;  // a large channel, which the transform spreads
      coder.store(x.data(), block.data(), i);
      std::vector<float> u(C), tail(R);
      coder.load_normalised(block.data(), i, u.data(), tail.data());
      coder.restore(u.data());
      for (int64_t j = 0; j < C; ++j) {
        const auto k = static_cast<size_t>(j);
        squares += std::pow(u[k] - x[k], 2);
        energy += std::pow(x[k], 2);
      }
      for (int64_t j = 0; j < R; ++j)
        EXPECT_NEAR(tail[static_cast<size_t>(j)], x[static_cast<size_t>(C + j)], 4.5f / 127);
    }
    EXPECT_NEAR(squares / energy, error, 0.15 * error);
  }
}

TEST(LatentRow, TheFarthestOutliersAreStoredAsResiduals) {
  const int64_t C = 512, R = 64;
  const LatentCoder coder = coder_of(CacheType::nuq4, C, R);
  std::vector<float> x(C + R, 0.0f);
  for (int64_t k = 0; k < 7; ++k) x[static_cast<size_t>(70 * k)] = static_cast<float>(10 + k);
  const LatentCodes codes = coder.encode(x.data());
  std::vector<float> u(x.begin(), x.begin() + C);
  coder.normalise(u.data());
  ASSERT_EQ(codes.residuals.size(), 5u);
  std::vector<std::byte> block(static_cast<size_t>(kBlockTokens * coder.row().bytes()));
  coder.store(x.data(), block.data(), 9);
  std::vector<float> got(C), tail(R);
  coder.load_normalised(block.data(), 9, got.data(), tail.data());
  for (const auto& r : codes.residuals) {
    const auto j = static_cast<size_t>(r.column);
    EXPECT_NEAR(got[j], u[j], std::fabs(u[j]) * 0x1p-10f) << j;
  }
  EXPECT_EQ(codes.residuals[0].column, 140);  // the two nearest of seven stay clamped
}

TEST(LatentRow, HadamardIsItsOwnInverseAndKeepsProducts) {
  for (const int64_t n : {512, 48, 147, 1}) {
    auto a = normal_row(n, 1), b = normal_row(n, 2);
    const auto before = a;
    double dot = 0, rotated = 0;
    for (size_t i = 0; i < a.size(); ++i) dot += double{a[i]} * double{b[i]};
    hadamard(a.data(), n);
    hadamard(b.data(), n);
    for (size_t i = 0; i < a.size(); ++i) rotated += double{a[i]} * double{b[i]};
    EXPECT_NEAR(rotated, dot, 1e-4 * static_cast<double>(n));
    hadamard(a.data(), n);
    for (size_t i = 0; i < a.size(); ++i) EXPECT_NEAR(a[i], before[i], 1e-5f);
  }
}

TEST(LatentRow, WhatIsNotFiniteMakesItsRowNaN) {
  const float bad[] = {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()};
  for (const CacheType type : kLatentTypes)
    for (const float value : bad)
      for (const size_t at : {size_t{3}, size_t{70}}) {
        const LatentCoder coder = coder_of(type, 64, 16);
        auto x = normal_row(80, 1);
        x[at] = value;
        std::vector<std::byte> block(static_cast<size_t>(kBlockTokens * coder.row().bytes()));
        coder.store(x.data(), block.data(), 5);
        EXPECT_TRUE(std::isnan(coder.codes(block.data(), 5).tail_scale)) << static_cast<int>(type) << ' ' << at;
      }
}

TEST(LatentRow, ARowOfZerosIsARowOfZerosOrItsNearestLevels) {
  for (const CacheType type : {CacheType::q6, CacheType::q4}) {
    const LatentCoder coder = coder_of(type, 64, 16);
    const std::vector<float> x(80, 0.0f);
    std::vector<std::byte> block(static_cast<size_t>(kBlockTokens * coder.row().bytes()));
    coder.store(x.data(), block.data(), 0);
    std::vector<float> u(64, 1.0f), tail(16, 1.0f);
    coder.load_normalised(block.data(), 0, u.data(), tail.data());
    for (const float v : u) EXPECT_EQ(v, 0.0f);
    for (const float v : tail) EXPECT_EQ(v, 0.0f);
  }
}

}  // namespace
}  // namespace fathom
