#include "base/threads.h"

#include <gtest/gtest.h>

#include <atomic>
#include <numeric>

#include "base/arena.h"

namespace fathom {
namespace {

TEST(ThreadPool, EveryIndexIsDoneOnceWhateverTheCountTheGrainAndTheThreads) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    for (const int64_t count : {0, 1, 7, 64, 1000}) {
      for (const int64_t grain : {1, 4, 100}) {
        for (const bool dynamic : {false, true}) {
          std::vector<std::atomic<int>> done(static_cast<size_t>(count));
          const auto body = [&](int64_t begin, int64_t end) {
            ASSERT_EQ(begin % grain, 0);
            for (int64_t i = begin; i < end; ++i) ++done[static_cast<size_t>(i)];
          };
          if (dynamic)
            pool.parallel_for_dynamic(count, grain, body);
          else
            pool.parallel_for(count, grain, body);
          for (const auto& d : done) ASSERT_EQ(d.load(), 1);
        }
      }
    }
  }
}

TEST(ThreadPool, ManyShortSectionsInARow) {
  ThreadPool pool(4);
  std::vector<int64_t> sums(4);
  for (int i = 0; i < 20000; ++i) pool.run([&](int thread) { ++sums[static_cast<size_t>(thread)]; });
  EXPECT_EQ(std::accumulate(sums.begin(), sums.end(), int64_t{0}), 80000);
}

TEST(Arena, ScopesGiveBackWhatWasTakenInside) {
  Arena arena;
  float* outer = arena.take<float>(100);
  float* inner = nullptr;
  {
    Arena::Scope scope(arena);
    inner = arena.take<float>(1000);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(inner) % Arena::kAlignment, 0u);
    arena.take<char>(Arena::kAlignment * 200000);  // another chunk
  }
  const size_t capacity = arena.capacity();
  Arena::Scope scope(arena);
  EXPECT_EQ(arena.take<float>(1000), inner);
  EXPECT_NE(arena.take<float>(1000), outer);
  arena.take<char>(Arena::kAlignment * 200000);
  EXPECT_EQ(arena.capacity(), capacity);
}

}  // namespace
}  // namespace fathom
