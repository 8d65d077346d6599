#include "kvcache/kv_cache.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

TEST(KvCache, RowsComeBackFromTheirOwnSequenceLayerAndPosition) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    KvCache cache({.layers = 3, .width = 10, .dtype = dtype}, 300);
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
          for (int64_t p = 0; p < (s == 0 ? a : b).length; ++p) fn(s, s == 0 ? a : b, layer, p);
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
        ASSERT_EQ(got(0, i), dtype == DType::f32 ? want : bf16_to_f32(f32_to_bf16(want)));
      }
    });
  }
}

TEST(KvCache, TruncatedBlocksAreUsedAgain) {
  KvCache cache({.layers = 1, .width = 4}, 128);
  SequenceCache a, b;
  cache.extend(a, 128);
  EXPECT_THROW(cache.extend(b, 1), Error);
  EXPECT_EQ(b.length, 0);
  cache.truncate(a, 64);
  EXPECT_EQ(cache.free_tokens(), 64);
  cache.extend(b, 64);
  EXPECT_THROW(cache.extend(a, 1), Error);
  cache.truncate(b, 0);
  cache.extend(a, 1);
  EXPECT_EQ(a.length, 65);
}

}  // namespace
}  // namespace fathom
