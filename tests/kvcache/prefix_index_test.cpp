#include "kvcache/prefix_index.h"

#include <gtest/gtest.h>

#include <numeric>
#include <random>

namespace fathom {
namespace {

constexpr int64_t kLayers = 2, kWidth = 3;

KvCache small_cache(int64_t tokens, CacheType type = CacheType::f32) {
  return KvCache({.layers = kLayers, .width = kWidth, .tail = 0, .type = type}, tokens);
}

std::vector<uint64_t> keys_from(uint64_t first, size_t n) {
  std::vector<uint64_t> keys(n);
  std::iota(keys.begin(), keys.end(), first);
  return keys;
}

float value_of(uint64_t key, int64_t layer) { return static_cast<float>(key * 10 + static_cast<uint64_t>(layer)); }

// Writes the rows of all tokens from `from` on, as a forward pass would.
void fill(KvCache& cache, SequenceCache& sequence, std::span<const uint64_t> keys) {
  const int64_t from = sequence.length();
  cache.extend(sequence, std::ssize(keys) - from);
  for (int64_t layer = 0; layer < kLayers; ++layer)
    for (int64_t p = from; p < std::ssize(keys); ++p) {
      const std::vector<float> row(kWidth, value_of(keys[static_cast<size_t>(p)], layer));
      cache.store(sequence, layer, p, {row.data(), kWidth});
    }
}

void expect_rows(const KvCache& cache, const SequenceCache& sequence, std::span<const uint64_t> keys) {
  std::vector<float> scratch(kWidth);
  for (int64_t layer = 0; layer < kLayers; ++layer)
    for (int64_t p = 0; p < sequence.length(); ++p)
      ASSERT_EQ(cache.rows(sequence, layer, p, 1, scratch.data())(0, 0), value_of(keys[static_cast<size_t>(p)], layer))
          << "position " << p;
}

TEST(PrefixIndex, WholeBlocksAreSharedAndAPartIsCopied) {
  KvCache cache = small_cache(1024);
  PrefixIndex index(cache);
  const auto keys = keys_from(1, 150);  // two blocks and 22 tokens
  {
    SequenceCache first;
    fill(cache, first, keys);
    index.add(first, 7, keys, true);
  }
  EXPECT_EQ(cache.free_tokens(), 1024 - 3 * kBlockTokens);
  EXPECT_EQ(index.n_idle(), 3);
  SequenceCache second;
  auto longer = keys_from(1, 140);
  longer.push_back(9999);
  EXPECT_EQ(index.take(second, 7, longer), 140);
  EXPECT_EQ(cache.free_tokens(), 1024 - 4 * kBlockTokens);  // the copy
  expect_rows(cache, second, longer);
  fill(cache, second, longer);
  SequenceCache third;  // nothing of the second's has reached the stored part
  EXPECT_EQ(index.take(third, 7, keys), 150);
  expect_rows(cache, third, keys);
}

TEST(PrefixIndex, SaltsAndOtherTokensShareNothing) {
  KvCache cache = small_cache(1024);
  PrefixIndex index(cache);
  const auto keys = keys_from(1, 128);
  SequenceCache first, other, different;
  fill(cache, first, keys);
  index.add(first, 1, keys, true);
  EXPECT_EQ(index.take(other, 2, keys), 0);
  EXPECT_EQ(index.stored(2, keys), 0);
  EXPECT_EQ(index.stored(1, keys), 128);
  auto changed = keys;
  changed[0] = 5000;
  EXPECT_EQ(index.take(different, 1, changed), 0);
}

TEST(PrefixIndex, RoomIsMadeOfTheLeastRecentlyUsedAndNeverOfWhatIsInUse) {
  KvCache cache = small_cache(6 * kBlockTokens);
  PrefixIndex index(cache);
  const auto a = keys_from(1, 128), b = keys_from(1000, 128);
  for (const auto& keys : {a, b}) {
    SequenceCache s;
    fill(cache, s, keys);
    index.add(s, 0, keys, true);
  }
  SequenceCache user;
  EXPECT_EQ(index.take(user, 0, a), 128);  // a is newer now
  EXPECT_TRUE(index.make_room(3));
  EXPECT_EQ(index.stored(0, b), 64);  // its end went first
  EXPECT_TRUE(index.make_room(4));
  EXPECT_EQ(index.stored(0, b), 0);
  EXPECT_FALSE(index.make_room(5));  // the others are the user's
  EXPECT_EQ(index.stored(0, a), 128);
  expect_rows(cache, user, a);
  user = {};
  EXPECT_TRUE(index.make_room(6));
  EXPECT_EQ(index.n_blocks(), 0);
}

TEST(PrefixIndex, ALongerPartTakesThePlaceOfAShorterOne) {
  KvCache cache = small_cache(1024);
  PrefixIndex index(cache);
  const auto keys = keys_from(1, 100);
  for (const size_t n : {70u, 80u, 100u, 75u}) {
    SequenceCache s;
    const auto part = std::span(keys).first(n);
    index.take(s, 0, part);
    fill(cache, s, part);
    index.add(s, 0, part, true);
  }
  EXPECT_EQ(index.n_blocks(), 2);
  SequenceCache s;
  EXPECT_EQ(index.take(s, 0, keys), 100);
}

TEST(PrefixIndex, ACopyThatHasNoRoomIsNotTakenAndItsSourceStays) {
  KvCache cache = small_cache(2 * kBlockTokens);
  PrefixIndex index(cache);
  const auto keys = keys_from(1, 70);
  {
    SequenceCache s;
    fill(cache, s, keys);
    index.add(s, 0, keys, true);
  }
  SequenceCache s;
  EXPECT_EQ(index.take(s, 0, keys), 64);
  expect_rows(cache, s, keys);
}

// One that computes rows anew that are stored, and goes on behind them: its blocks lie below idle ones, which give way
// all the same, and all that is idle counts as room.
TEST(PrefixIndex, IdleBlocksAboveBlocksInUseMakeRoom) {
  KvCache cache = small_cache(8 * kBlockTokens);
  PrefixIndex index(cache);
  const auto keys = keys_from(1, 4 * kBlockTokens);
  {
    SequenceCache first;
    fill(cache, first, std::span(keys).first(3 * kBlockTokens));
    index.add(first, 0, std::span(keys).first(3 * kBlockTokens), true);
  }
  SequenceCache again;
  fill(cache, again, keys);
  index.add(again, 0, keys, false);
  EXPECT_EQ(cache.pool().n_free(), 1);
  EXPECT_EQ(index.n_idle(), 3);
  EXPECT_TRUE(index.make_room(4));
  expect_rows(cache, again, keys);
  EXPECT_EQ(index.n_blocks(), 0);
  index.add(again, 0, keys, false);
  EXPECT_EQ(index.stored(0, keys), 4 * kBlockTokens);
}

// Against a plain list of all that was ever stored: what is found is a prefix of it, and its rows are right.
TEST(PrefixIndex, RandomUseKeepsRowsAndCountsRight) {
  std::mt19937 random(3);
  KvCache cache = small_cache(20 * kBlockTokens);
  PrefixIndex index(cache);
  std::vector<std::pair<SequenceCache, std::vector<uint64_t>>> running;
  for (int round = 0; round < 2000; ++round) {
    if (running.size() < 4 && random() % 2 == 0) {
      std::vector<uint64_t> keys(1 + random() % 300);
      for (size_t i = 0; i < keys.size(); ++i) keys[i] = i / 50 + (random() % 200 == 0 ? 1000 : 0);
      if (!index.make_room(blocks_of(std::ssize(keys)) + 1)) continue;
      SequenceCache s;
      index.take(s, random() % 2, std::span(keys).first(keys.size() - 1));
      expect_rows(cache, s, keys);
      if (!index.make_room(blocks_of(std::ssize(keys)))) continue;
      fill(cache, s, keys);
      running.emplace_back(std::move(s), keys);
    } else if (!running.empty()) {
      const size_t at = random() % running.size();
      auto& [s, keys] = running[at];
      expect_rows(cache, s, keys);
      // The salt of the reader need not be the writer's: what counts is what the index is told.
      index.add(s, random() % 2, keys, random() % 2 == 0);
      running.erase(running.begin() + static_cast<ptrdiff_t>(at));
    }
  }
  running.clear();
  EXPECT_GT(index.counts().tokens_found, 1000);
  index.clear();
  EXPECT_EQ(cache.free_tokens(), 20 * kBlockTokens);
}

}  // namespace
}  // namespace fathom
