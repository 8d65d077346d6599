#include "kvcache/kv_cache.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <utility>

#include "tensor/dtype.h"

namespace fathom {
namespace {

TEST(SequenceCache, GivesItsBlocksBackHoweverItEnds) {
  SequenceCache outlives;
  KvCache cache({.layers = 1, .width = 4, .tail = 0, .type = CacheType::f32}, 256);
  {
    SequenceCache a;
    cache.extend(a, 65);
    SequenceCache moved = std::move(a);
    EXPECT_EQ(moved.length(), 65);
    EXPECT_EQ(moved.blocks().size(), 2u);
    EXPECT_EQ(cache.free_tokens(), 128);
    SequenceCache other;
    cache.extend(other, 1);
    other = std::move(moved);
    EXPECT_EQ(other.length(), 65);
  }
  EXPECT_EQ(cache.free_tokens(), 256);
  cache.extend(outlives, 10);  // destroyed after the cache
}

TEST(KvCache, RowsComeBackFromTheirOwnSequenceLayerAndPosition) {
  for (const CacheType type : {CacheType::f32, CacheType::bf16, CacheType::q16, CacheType::q8, CacheType::fp8}) {
    KvCache cache({.layers = 3, .width = 10, .tail = 4, .type = type}, 300);
    SequenceCache a, b;
    for (int step = 0; step < 10; ++step) {  // grow in turns, so that blocks interleave
      cache.extend(a, 13);
      cache.extend(b, 9);
    }
    const auto value = [](int sequence, int64_t layer, int64_t position, int64_t i) {
      return static_cast<float>(sequence * 1000 + layer * 500 + position + i) / 4;
    };
    std::vector<float> row(10);
    const auto for_all = [&](auto&& fn) {
      for (int s = 0; s < 2; ++s)
        for (int64_t layer = 0; layer < 3; ++layer)
          for (int64_t p = 0; p < (s == 0 ? a : b).length(); ++p) fn(s, s == 0 ? a : b, layer, p);
    };
    for_all([&](int s, SequenceCache& sequence, int64_t layer, int64_t p) {
      for (int64_t i = 0; i < 10; ++i) row[static_cast<size_t>(i)] = value(s, layer, p, i);
      cache.store(sequence, layer, p, {row.data(), 10});
    });
    std::vector<float> scratch(10);
    for_all([&](int s, SequenceCache& sequence, int64_t layer, int64_t p) {
      const auto got = cache.rows(sequence, layer, p, 1, scratch.data());
      for (int64_t i = 0; i < 10; ++i) {
        const float want = value(s, layer, p, i);
        if (type == CacheType::f32 || type == CacheType::bf16 || (type == CacheType::fp8 && i >= 6))
          ASSERT_EQ(got(0, i), type == CacheType::f32 ? want : bf16_to_f32(f32_to_bf16(want)));
        else if (type == CacheType::fp8)
          ASSERT_NEAR(got(0, i), want,
                      std::max(want * 0x1p-4f, value(s, layer, p, 5) / 448 * 0x1p-10f) * (1 + 0x1p-9f));
        else  // the largest of the row's part is its last number
          ASSERT_NEAR(got(0, i), want,
                      value(s, layer, p, i < 6 ? 5 : 9) / (type == CacheType::q8 && i < 6 ? 2 * kCode8 : 2 * kCode16) *
                          (1 + 0x1p-9f));
      }
    });
  }
}

TEST(KvCache, AnFp8RowIsThatOfFlashMla) {
  const CacheRow row{CacheType::fp8, 576, 64};
  EXPECT_EQ(row.bytes(), 656);
  std::vector<float> x(576), back(576);
  for (size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i % 7) - 3;
  for (size_t i = 128; i < 256; ++i) x[i] *= 896.0f / 3;  // the largest is 896: a scale of 2
  for (size_t i = 256; i < 384; ++i) x[i] = 0;
  x[400] = NAN;
  std::vector<std::byte> rows(656 * 2);
  store_row(row, x.data(), rows.data(), 1);
  const std::byte* stored = rows.data() + 656;
  float scales[4];
  std::memcpy(scales, stored + 512, sizeof scales);
  EXPECT_EQ(scales[0], 3.0f / 448);
  EXPECT_EQ(scales[1], 2);
  EXPECT_EQ(scales[2], 0);
  EXPECT_TRUE(std::isnan(scales[3]));
  EXPECT_EQ(static_cast<uint8_t>(stored[0]), 0xFE);  // -448
  uint16_t half;
  std::memcpy(&half, stored + 528 + 2, sizeof half);
  EXPECT_EQ(bf16_to_f32(half), x[513]);
  load_row(row, rows.data(), 1, back.data());
  EXPECT_EQ(back[0], -3);
  EXPECT_EQ(back[300], 0);
  EXPECT_TRUE(std::isnan(back[385]));
}

// Blocks of four megabytes: memory is taken four at a time, and the last time for less.
TEST(KvCache, BlocksOfAllMemoryLieApart) {
  constexpr int64_t kLayers = 27, kWidth = 576, kTokens = 9 * kBlockTokens;
  KvCache cache({.layers = kLayers, .width = kWidth, .tail = 64, .type = CacheType::f32}, kTokens);
  SequenceCache sequence;
  cache.extend(sequence, kTokens);
  std::vector<float> row(kWidth);
  const auto fill = [&](int64_t layer, int64_t p) {
    for (size_t i = 0; i < row.size(); ++i) row[i] = static_cast<float>((layer * kTokens + p) * 8 + (i == 0 ? 1 : 2));
  };
  for (const int64_t layer : {int64_t{0}, kLayers - 1})
    for (int64_t p = 0; p < kTokens; ++p) {
      fill(layer, p);
      cache.store(sequence, layer, p, {row.data(), kWidth});
    }
  std::vector<float> scratch(kWidth);
  for (const int64_t layer : {int64_t{0}, kLayers - 1})
    for (int64_t p = 0; p < kTokens; ++p) {
      fill(layer, p);
      const auto got = cache.rows(sequence, layer, p, 1, scratch.data());
      ASSERT_EQ(got(0, 0), row.front());
      ASSERT_EQ(got(0, kWidth - 1), row.back());
    }
}

TEST(CacheRow, CodesComeBackWithinHalfAStepOfEachGroup) {
  for (const CacheType type : {CacheType::q16, CacheType::q8})
    for (const int64_t body : {1, 2, 127, 128, 129, 300})
      for (const int64_t tail : {0, 1, 8, 131}) {
        const CacheRow row{type, body + tail, tail};
        std::vector<float> x(static_cast<size_t>(row.width)), got(x.size());
        for (size_t i = 0; i < x.size(); ++i)
          x[i] = std::sin(static_cast<float>(i * i)) * static_cast<float>(1 + i / 100);  // groups of other sizes
        const auto size = static_cast<size_t>(kBlockTokens * row.bytes());
        std::vector<std::byte> bytes(size + 4, std::byte{0x5A});
        for (const int64_t i : {int64_t{0}, int64_t{7}, kBlockTokens - 1}) store_row(row, x.data(), bytes.data(), i);
        EXPECT_EQ(bytes[size], std::byte{0x5A});
        load_row(row, bytes.data(), 7, got.data());
        const auto check_part = [&](int64_t begin, int64_t end, int limit) {
          for (int64_t first = begin; first < end; first += kCacheGroup) {
            const int64_t last = std::min(first + kCacheGroup, end);
            float largest = 0;
            for (int64_t i = first; i < last; ++i) largest = std::max(largest, std::abs(x[static_cast<size_t>(i)]));
            const float step = largest / static_cast<float>(limit);
            for (int64_t i = first; i < last; ++i)
              EXPECT_NEAR(got[static_cast<size_t>(i)], x[static_cast<size_t>(i)], step / 2 + largest * 0x1p-22f) << i;
          }
        };
        check_part(0, body, type == CacheType::q8 ? kCode8 : kCode16);
        check_part(body, row.width, kCode16);
      }
}

TEST(CacheRow, AGroupThatIsNotFiniteComesBackAsNaN) {
  for (const CacheType type : {CacheType::q16, CacheType::q8})
    for (const float bad : {std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
      const CacheRow row{type, 12, 4};
      const std::vector<float> x = {1, 2, bad, 4, 5, 6, 7, 8, 9, 10, 11, 12};
      std::vector<float> got(12);
      std::vector<std::byte> bytes(static_cast<size_t>(kBlockTokens * row.bytes()));
      store_row(row, x.data(), bytes.data(), 3);
      load_row(row, bytes.data(), 3, got.data());
      for (size_t i = 0; i < 8; ++i) EXPECT_TRUE(std::isnan(got[i]));
      EXPECT_NEAR(got[8], 9, 2e-3);
    }
}

TEST(KvCache, TruncatedBlocksAreUsedAgain) {
  KvCache cache({.layers = 1, .width = 4}, 128);
  SequenceCache a, b;
  cache.extend(a, 128);
  EXPECT_THROW(cache.extend(b, 1), Error);
  EXPECT_EQ(b.length(), 0);
  cache.truncate(a, 64);
  EXPECT_EQ(cache.free_tokens(), 64);
  cache.extend(b, 64);
  EXPECT_THROW(cache.extend(a, 1), Error);
  cache.truncate(b, 0);
  cache.extend(a, 1);
  EXPECT_EQ(a.length(), 65);
}

}  // namespace
}  // namespace fathom
