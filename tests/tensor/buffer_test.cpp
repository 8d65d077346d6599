#include "tensor/buffer.h"

#include <gtest/gtest.h>

#include "base/arena.h"

namespace fathom {
namespace {

bool starts_a_huge_page(const void* p) { return reinterpret_cast<uintptr_t>(p) % kHugePage == 0; }

TEST(Buffer, LargeOnesStartAtAHugePageAndAllAreZero) {
  const Buffer<float> large(int64_t{2} << 20), small(7);
  EXPECT_TRUE(starts_a_huge_page(large.data()));
  EXPECT_EQ(reinterpret_cast<uintptr_t>(small.data()) % kBufferAlignment, 0u);
  for (int64_t i = 0; i < large.size(); ++i) ASSERT_EQ(large[i], 0.0f);
  EXPECT_EQ(Buffer<float>(0).size(), 0);
}

TEST(Buffer, MovesBetweenSizesAndLeavesNothing) {
  Buffer<float> large(int64_t{2} << 20), small(3);
  small[2] = 5;
  large = std::move(small);
  EXPECT_EQ(large.size(), 3);
  EXPECT_EQ(large[2], 5.0f);
  EXPECT_EQ(small.size(), 0);  // NOLINT(bugprone-use-after-move): what is promised
  small = Buffer<float>(int64_t{1} << 21);
  EXPECT_EQ(small.size(), int64_t{1} << 21);
}

TEST(Arena, LargeChunksStartAtAHugePage) {
  Arena arena;
  EXPECT_TRUE(starts_a_huge_page(arena.take<float>(int64_t{3} << 20)));
  arena.take<float>(5)[4] = 1;
}

}  // namespace
}  // namespace fathom
