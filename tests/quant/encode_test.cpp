#include "quant/encode.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "base/random.h"
#include "quant/decode.h"
#include "quant/formats.h"
#include "quant/levels.h"
#include "support/files.h"

namespace fathom {
namespace {

// Those whose plain encoder searches too.
constexpr std::array kSearched = {DType::q2_k, DType::q3_k,   DType::q4_k,  DType::q5_k,
                                  DType::q6_k, DType::iq4_nl, DType::iq4_xs};
constexpr std::array kQuantised = {DType::q8_0, DType::q4_0, DType::q4_1, DType::q5_0, DType::q5_1,   DType::q2_k,
                                   DType::q3_k, DType::q4_k, DType::q5_k, DType::q6_k, DType::iq4_nl, DType::iq4_xs};

// Nearly normal with variance 1: twelve uniforms, so that no library's log or cos is in it.
std::vector<float> random_weights(int64_t n, uint64_t seed) {
  std::vector<float> x(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i) {
    double s = -6;
    for (uint64_t k = 0; k < 12; ++k) s += uniform01(seed, k, static_cast<uint64_t>(i));
    x[static_cast<size_t>(i)] = static_cast<float>(s);
  }
  return x;
}

std::vector<std::byte> encoded(DType dtype, const std::vector<float>& x) {
  std::vector<std::byte> bytes(static_cast<size_t>(row_bytes(dtype, static_cast<int64_t>(x.size()))));
  encode_row(dtype, x.data(), static_cast<int64_t>(x.size()), bytes.data());
  return bytes;
}

std::vector<float> decoded(DType dtype, const std::vector<std::byte>& bytes, size_t n) {
  std::vector<float> y(n);
  decode_blocks(dtype, bytes.data(), static_cast<int64_t>(n), y.data());
  return y;
}

double relative_error(const std::vector<float>& x, const std::vector<float>& y) {
  double error = 0, power = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    error += std::pow(double{y[i]} - x[i], 2);
    power += std::pow(double{x[i]}, 2);
  }
  return std::sqrt(error / power);
}

// llama.cpp gives 0.2958, 0.1505, 0.0712, 0.0361, 0.0177 for the K formats on a million normal numbers;
// tools/quant/error.py compares on a model.
TEST(Encode, SearchedFormatsHaveTheErrorOfAGoodSearch) {
  const auto x = random_weights(256 * 256, 1);
  const std::array<double, 7> limit = {0.275, 0.147, 0.0712, 0.0360, 0.0176, 0.0742, 0.0752};
  for (size_t f = 0; f < kSearched.size(); ++f) {
    const double error = relative_error(x, decoded(kSearched[f], encoded(kSearched[f], x), x.size()));
    EXPECT_LE(error, limit[f]) << name(kSearched[f]);
    EXPECT_GE(error, limit[f] * 0.9) << name(kSearched[f]) << ": the limit no longer says anything";
  }
}

uint64_t fnv1a(const std::vector<std::byte>& bytes) {
  uint64_t hash = 0xCBF29CE484222325u;
  for (std::byte b : bytes) hash = (hash ^ static_cast<uint64_t>(b)) * 0x100000001B3u;
  return hash;
}

// gcc 12 and clang 14, -O3 and sanitizers gave these.
TEST(Encode, SearchedFormatsGiveTheSameBytesWithEveryCompiler) {
  const auto x = random_weights(256 * 64, 2);
  const std::array<uint64_t, 7> expected = {14230666275426198083u, 834172955909073479u,   4007647199910536104u,
                                            12919011094043476082u, 10874647297109415586u, 10235295835506993828u,
                                            3635449563642042585u};
  for (size_t f = 0; f < kSearched.size(); ++f)
    EXPECT_EQ(fnv1a(encoded(kSearched[f], x)), expected[f]) << name(kSearched[f]);
}

std::vector<std::byte> encoded_thoroughly(DType dtype, const std::vector<float>& x, const std::vector<float>& w) {
  std::vector<std::byte> bytes(static_cast<size_t>(row_bytes(dtype, static_cast<int64_t>(x.size()))));
  encode_row_thorough(dtype, x.data(), w.empty() ? nullptr : w.data(), static_cast<int64_t>(x.size()), bytes.data());
  return bytes;
}

double weighted_error(const std::vector<float>& x, const std::vector<float>& y, const std::vector<float>& w,
                      size_t begin, size_t end) {
  double error = 0;
  for (size_t i = begin; i < end; ++i) error += (w.empty() ? 1.0 : w[i]) * std::pow(double{y[i]} - x[i], 2);
  return error;
}

// Mean squares of activations are spread over orders of magnitude: w = u^-2.
std::vector<float> random_importance(int64_t n, uint64_t seed) {
  std::vector<float> w(static_cast<size_t>(n));
  for (int64_t i = 0; i < n; ++i)
    w[static_cast<size_t>(i)] = static_cast<float>(std::pow(0.02 + uniform01(seed, 99, static_cast<uint64_t>(i)), -2));
  return w;
}

TEST(EncodeThoroughly, NoBlockIsWorseThanThePlainOne) {
  const auto x = random_weights(256 * 32, 11);
  for (const auto& w : {std::vector<float>{}, random_importance(256 * 32, 12)})
    for (DType dtype : kQuantised) {
      const auto plain = decoded(dtype, encoded(dtype, x), x.size());
      const auto thorough = decoded(dtype, encoded_thoroughly(dtype, x, w), x.size());
      const auto block = static_cast<size_t>(info(dtype).block_elements);
      for (size_t i = 0; i < x.size(); i += block)
        ASSERT_LE(weighted_error(x, thorough, w, i, i + block), weighted_error(x, plain, w, i, i + block) * (1 + 1e-6))
            << name(dtype) << ", block " << i / block;
    }
}

// Root of the weighted error, thorough by plain: measured here, so that a search that got worse is seen.
TEST(EncodeThoroughly, LowersTheWeightedError) {
  const auto x = random_weights(256 * 64, 13);
  const auto w = random_importance(256 * 64, 14);
  const std::array<double, 12> equal = {0.89, 0.945, 0.90, 0.945, 0.89, 0.975, 0.9995, 0.985, 0.97, 0.97, 0.988, 0.987};
  const std::array<double, 12> weighted = {0.53, 0.64, 0.49, 0.60, 0.48, 0.53, 0.66, 0.57, 0.61, 0.64, 0.62, 0.64};
  for (size_t f = 0; f < kQuantised.size(); ++f) {
    const DType dtype = kQuantised[f];
    const auto plain = decoded(dtype, encoded(dtype, x), x.size());
    const auto ratio = [&](const std::vector<float>& weights) {
      const auto thorough = decoded(dtype, encoded_thoroughly(dtype, x, weights), x.size());
      return std::sqrt(weighted_error(x, thorough, weights, 0, x.size()) /
                       weighted_error(x, plain, weights, 0, x.size()));
    };
    EXPECT_LT(ratio({}), equal[f]) << name(dtype);
    EXPECT_LT(ratio(w), weighted[f]) << name(dtype);
  }
}

TEST(EncodeThoroughly, WeightsThatSayNothingAreEqualWeights) {
  const auto x = random_weights(512, 15);
  std::vector<float> zeros(512, 0.0f), same(512, 3e-9f);
  for (DType dtype : kQuantised) {
    const auto expected = encoded_thoroughly(dtype, x, {});
    EXPECT_EQ(encoded_thoroughly(dtype, x, zeros), expected) << name(dtype);
    EXPECT_EQ(encoded_thoroughly(dtype, x, same), expected) << name(dtype);
  }
}

TEST(EncodeThoroughly, ABlockWithOneColumnThatCountsGetsThatColumnRight) {
  for (DType dtype : kQuantised) {
    auto x = random_weights(256, 16);
    std::vector<float> w(256, 1.0f);
    for (size_t i = 5; i < 256; i += 32) w[i] = 1e6f, x[i] = 0.731f;
    const auto y = decoded(dtype, encoded_thoroughly(dtype, x, w), 256);
    const auto plain = decoded(dtype, encoded(dtype, x), 256);
    double off = 0, plain_off = 0;
    for (size_t i = 5; i < 256; i += 32) off += std::abs(y[i] - x[i]), plain_off += std::abs(plain[i] - x[i]);
    EXPECT_LT(off, plain_off / 2) << name(dtype);
  }
}

TEST(Encode, ZerosDecodeToZeros) {
  for (DType dtype : kQuantised)
    for (const auto& bytes : {encoded(dtype, std::vector<float>(256, 0.0f)),
                              encoded_thoroughly(dtype, std::vector<float>(256, 0.0f), random_importance(256, 1))})
      for (float y : decoded(dtype, bytes, 256)) EXPECT_EQ(y, 0.0f) << name(dtype);
}

// Blocks of a shape that breaks a careless search. Each format must stay within one of its coarsest steps: the block's
// range by its number of codes, twice for the rounding of group scales, plus the smallest half (2^-24) for what its
// scale cannot resolve.
TEST(Encode, EdgeBlocksStayWithinAStep) {
  const auto random = random_weights(256, 3);
  std::vector<std::vector<float>> blocks(10, std::vector<float>(256, 0.0f));
  for (size_t i = 0; i < 256; ++i) {
    blocks[0][i] = 1.0f;
    blocks[1][i] = -0.37f;
    blocks[2][i] = 1e-30f * random[i];
    blocks[3][i] = 1e-41f * random[i];
    blocks[4][i] = i == 77 ? -3.0f : 0.0f;
    blocks[5][i] = 10000.0f * random[i];
    blocks[6][i] = i % 2 == 0 ? 65504.0f : -65504.0f;
    blocks[7][i] = std::abs(random[i]) + 5;
    blocks[8][i] = -std::abs(random[i]) - 5;
    blocks[9][i] = static_cast<float>(i) / 255;
  }
  const std::array<double, 12> steps = {255, 15, 15, 31, 31, 3, 7, 15, 31, 63, 10, 10};  // iq4: 24 of 240 units
  for (size_t b = 0; b < blocks.size(); ++b) {
    const auto [low, high] = std::minmax_element(blocks[b].begin(), blocks[b].end());
    const double range = std::max(0.0f, *high) - std::min(0.0f, *low),
                 magnitude = std::max(std::abs(*low), std::abs(*high));
    for (size_t f = 0; f < kQuantised.size(); ++f) {
      const auto y = decoded(kQuantised[f], encoded(kQuantised[f], blocks[b]), 256);
      const auto thorough = decoded(kQuantised[f], encoded_thoroughly(kQuantised[f], blocks[b], {}), 256);
      ASSERT_LE(weighted_error(blocks[b], thorough, {}, 0, 256), weighted_error(blocks[b], y, {}, 0, 256) * (1 + 1e-6))
          << name(kQuantised[f]) << ", block " << b;
      const double bound = 2 * std::max(range, magnitude) / steps[f] + magnitude * 0x1p-10 + 512 * 0x1p-24;
      for (size_t i = 0; i < 256; ++i)
        ASSERT_NEAR(y[i], blocks[b][i], bound) << name(kQuantised[f]) << ", block " << b << ", " << i;
    }
  }
}

TEST(Encode, NumbersOnTheGridOfQ6KComeBackExactly) {
  std::vector<float> x(256);
  for (size_t i = 0; i < 256; ++i) x[i] = 0.25f * (static_cast<float>(i % 64) - 32);
  for (size_t g = 0; g < 16; ++g) x[16 * g] = 0.25f * -32;  // every group reaches its lowest code
  EXPECT_EQ(decoded(DType::q6_k, encoded(DType::q6_k, x), 256), x);
}

TEST(Encode, NumbersOnTheLevelsOfIq4ComeBackExactly) {
  std::vector<float> x(256);
  for (size_t i = 0; i < 256; ++i) x[i] = 0.5f * kIq4Levels[i % 16];
  for (DType dtype : {DType::iq4_nl, DType::iq4_xs}) {
    EXPECT_EQ(decoded(dtype, encoded_thoroughly(dtype, x, {}), 256), x) << name(dtype);
    for (float& v : x) v = -v;  // a scale of the other sign
  }
}

// The table of Iq4Levels against a search for the nearest level, between and at all of its steps.
TEST(Levels, TheNearestLevelOfIq4IsNearest) {
  const Iq4Levels levels;
  for (float v = -140; v <= 130; v += 0.125f) {
    const float nearest = levels.nearest(splat4(v))[0];
    float least = 1e9f;
    for (int8_t level : kIq4Levels) least = std::min(least, std::abs(v - level));
    EXPECT_EQ(std::abs(v - nearest), least) << v;
    EXPECT_EQ(levels.level(levels.code(nearest)), nearest) << v;
  }
  EXPECT_EQ(levels.nearest(splat4(std::numeric_limits<float>::quiet_NaN()))[0], levels.low);
  EXPECT_EQ(levels.nearest(splat4(std::numeric_limits<float>::infinity()))[0], levels.high);
}

TEST(Encode, NonFiniteNumbersAreReportedAndDoNoHarm) {
  const float inf = std::numeric_limits<float>::infinity(), nan = std::numeric_limits<float>::quiet_NaN();
  for (DType dtype : kQuantised) {
    for (float bad : {inf, -inf, nan, 3e38f, -3e38f}) {
      auto x = random_weights(512, 4);
      EXPECT_EQ(find_unencodable(dtype, x.data(), 512), -1);
      x[300] = bad;
      EXPECT_EQ(find_unencodable(dtype, x.data(), 512), 300) << name(dtype) << " " << bad;
      encoded(dtype, x);
      encoded_thoroughly(dtype, x, random_importance(512, 2));
    }
    std::vector<float> all(256, nan);
    encoded(dtype, all);
  }
}

TEST(Encode, LimitsAreThoseOfTheHalfScale) {
  const auto reports = [](DType dtype, float x) { return find_unencodable(dtype, &x, 1) == 0; };
  EXPECT_FALSE(reports(DType::f16, 65519.99f));
  EXPECT_TRUE(reports(DType::f16, 65520.0f));
  EXPECT_FALSE(reports(DType::f16, std::numeric_limits<float>::infinity()));
  EXPECT_TRUE(reports(DType::bf16, std::numeric_limits<float>::max()));
  EXPECT_FALSE(reports(DType::bf16, bf16_to_f32(0x7F7F)));
  EXPECT_FALSE(reports(DType::f32, std::numeric_limits<float>::quiet_NaN()));
  EXPECT_FALSE(reports(DType::q8_0, -65504.0f * 127));
  EXPECT_TRUE(reports(DType::q8_0, -65505.0f * 127));
  EXPECT_TRUE(reports(DType::q4_k, 65505.0f));
}

TEST(Encode, MatrixNamesTheElementThatDoesNotFit) {
  ThreadPool pool(2);
  auto x = random_weights(8 * 256, 5);
  std::vector<std::byte> out(static_cast<size_t>(row_bytes(DType::q4_k, 8 * 256)));
  x[5 * 256 + 9] = std::numeric_limits<float>::infinity();
  x[6 * 256] = std::numeric_limits<float>::quiet_NaN();
  const std::string error = test::error_of([&] {
    encode_matrix(pool, DType::q4_k, {x.data(), 8, 256}, out.data(), "model.norm.weight");
  });
  EXPECT_TRUE(test::contains(error, "model.norm.weight: row 5, column 9 is inf"));
}

TEST(Encode, ThreadsDoNotChangeBytes) {
  const auto x = random_weights(64 * 256, 6);
  ThreadPool one(1), three(3);
  std::vector<std::byte> a(static_cast<size_t>(row_bytes(DType::q6_k, 64 * 256))), b(a.size());
  encode_matrix(one, DType::q6_k, {x.data(), 64, 256}, a.data(), "a");
  encode_matrix(three, DType::q6_k, {x.data(), 64, 256}, b.data(), "b");
  EXPECT_EQ(a, b);
  EXPECT_EQ(a, encoded(DType::q6_k, x));
}

// An e4m3 number has 3 bits after the first: half a last place is 2^-4 of the number. Below 2^-6 of the format the step
// is 2^-9.
TEST(Encode, Fp8StripesKeepSixteenthsOfEachNumber) {
  const int64_t rows = 130, cols = 300;
  auto x = random_weights(rows * cols, 7);
  for (int64_t j = 128; j < 256; ++j)
    for (int64_t i = 0; i < 128; ++i) x[static_cast<size_t>(i * cols + j)] = 0;  // one block of zeros
  std::vector<std::byte> bytes(static_cast<size_t>(rows * cols));
  std::vector<float> scales(2 * 3);
  encode_f8_stripe({x.data(), 128, cols}, bytes.data(), scales.data());
  encode_f8_stripe({x.data() + 128 * cols, rows - 128, cols}, bytes.data() + 128 * cols, scales.data() + 3);
  EXPECT_EQ(scales[1], 1.0f);
  const Weight w{.dtype = DType::f8_e4m3,
                 .rows = rows,
                 .cols = cols,
                 .data = bytes.data(),
                 .scale_inv = reinterpret_cast<const std::byte*>(scales.data()),
                 .scale_cols = 3};
  std::vector<float> y(static_cast<size_t>(cols)), z(y.size());
  for (int64_t i = 0; i < rows; ++i) {
    decode_row(w, i, y.data());
    decode_row(w.sub_rows(i, 1), 0, z.data());
    EXPECT_EQ(y, z) << "a view of one row finds its own scales";
    for (int64_t j = 0; j < cols; ++j) {
      const float want = x[static_cast<size_t>(i * cols + j)],
                  scale = scales[static_cast<size_t>(i / 128 * 3 + j / 128)];
      ASSERT_NEAR(y[static_cast<size_t>(j)], want, std::abs(want) * 0x1.01p-4 + scale * 0x1p-10) << i << ", " << j;
    }
  }
}

TEST(Decode, BytesNeedNoAlignment) {
  const auto x = random_weights(512, 8);
  for (DType dtype : kQuantised) {
    const auto bytes = encoded(dtype, x);
    std::vector<std::byte> shifted(bytes.size() + 1);
    std::memcpy(shifted.data() + 1, bytes.data(), bytes.size());
    std::vector<float> y(512);
    decode_blocks(dtype, shifted.data() + 1, 512, y.data());
    EXPECT_EQ(y, decoded(dtype, bytes, 512)) << name(dtype);
  }
}

TEST(Formats, PackedScalesUnpackToThemselves) {
  uint8_t scale[8], min[8], packed[12], scale2[8], min2[8], scales16[16], scales16b[16];
  for (int round = 0; round < 64; ++round) {
    for (int g = 0; g < 8; ++g) scale[g] = (round + 7 * g) & 63, min[g] = (5 * round + 11 * g) & 63;
    for (int g = 0; g < 16; ++g) scales16[g] = (3 * round + 13 * g) & 63;
    pack_scale_min(scale, min, packed);
    unpack_scale_min(packed, scale2, min2);
    EXPECT_EQ(std::memcmp(scale, scale2, 8), 0);
    EXPECT_EQ(std::memcmp(min, min2, 8), 0);
    BlockIQ4XS block{};
    for (int g = 0; g < 8; ++g) put_iq4_scale(block, g, scale[g]);
    for (int g = 0; g < 8; ++g) EXPECT_EQ(unpack_iq4_scale(block, g), scale[g]);
    pack_q3k_scales(scales16, packed);
    unpack_q3k_scales(packed, scales16b);
    EXPECT_EQ(std::memcmp(scales16, scales16b, 16), 0);
  }
}

}  // namespace
}  // namespace fathom
