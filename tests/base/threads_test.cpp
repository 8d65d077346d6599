#include "base/machine/threads.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
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

TEST(ThreadPool, PartsThatWaitForEachOtherAllRun) {
  for (const int threads : {2, 3, 9}) {
    ThreadPool pool(threads);
    for (int i = 0; i < 200; ++i) {
      std::atomic<int> begun{0};
      pool.run([&](int thread) {
        ++begun;
        // Part 0 is done at once; the caller then takes another one, which waits for those that it did not take.
        while (thread != 0 && begun.load() < threads) std::this_thread::yield();
      });
      ASSERT_EQ(begun.load(), threads);
    }
  }
}

TEST(ThreadPool, ThePartOfAThreadThatIsLateIsDoneForItAndOnce) {
  ThreadPool pool(16);
  std::vector<std::thread::id> last(16);
  int64_t for_others = 0;
  for (int i = 0; i < 500; ++i) {
    if (i % 50 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(2));  // the others sleep by now
    std::array<std::atomic<int>, 16> done{};
    pool.run([&](int thread) {
      ++done[static_cast<size_t>(thread)];
      last[static_cast<size_t>(thread)] = std::this_thread::get_id();
    });
    for (const auto& d : done) ASSERT_EQ(d.load(), 1);
    for_others += std::count(last.begin() + 1, last.end(), std::this_thread::get_id());
  }
  EXPECT_EQ(last[0], std::this_thread::get_id());
  EXPECT_GT(for_others, 0) << "waking fifteen threads takes longer than counting to one";
}

// More threads than any user may have, without the right to exceed that: what happens to a person with `ulimit -u`, and
// in a container with pids.max.
TEST(ThreadPool, WhatABodyThrowsIsThrownWhenAllHaveReturned) {
  for (const int threads : {1, 2, 4}) {
    ThreadPool pool(threads);
    for (int thrower = -1; thrower < threads; ++thrower) {  // -1: all of them
      std::atomic<int> done = 0;
      const auto body = [&](int thread) {
        ++done;
        if (thrower < 0 || thread == thrower) throw std::bad_alloc();
      };
      EXPECT_THROW(pool.run(body), std::bad_alloc);
      EXPECT_EQ(done, threads);
      pool.run([&](int) { ++done; });
      EXPECT_EQ(done, 2 * threads);
    }
    EXPECT_THROW(pool.parallel_for_dynamic(100, 1, [](int64_t, int64_t) { throw std::bad_alloc(); }), std::bad_alloc);
  }
}

TEST(ThreadPoolDeathTest, WhereThreadsAreRefusedThePoolHasThoseThatStartedAndSaysSo) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(
      {
        if (::geteuid() == 0 && ::setuid(65534) != 0) ::_exit(1);
        rlimit limit{};
        ::setrlimit(RLIMIT_NPROC, &limit);
        ThreadPool pool(8);
        std::atomic<int> done{0};
        pool.run([&](int) { ++done; });
        ::_exit(pool.size() < 8 && done.load() == pool.size() ? 7 : 2);
      },
      ::testing::ExitedWithCode(7), "fathom: . of 8 threads could be started");
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
