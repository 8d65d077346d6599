#include "server/model_memory.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <memory>
#include <string>
#include <thread>

namespace fathom::server {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

// Models that do what they are told: the order in which they were asked to go is written down.
struct FakeModels {
  explicit FakeModels(double budget) : memory(budget) {}
  void add(double bytes, bool is_idle, int used_seconds_ago) {
    const size_t i = n++;
    idle.push_back(std::make_unique<std::atomic<bool>>(is_idle));
    memory.add({.bytes = bytes,
                .is_idle = [this, i] { return idle[i]->load(); },
                .last_used =
                    [used_seconds_ago] {
                      return Clock::time_point(std::chrono::hours(1)) - std::chrono::seconds(used_seconds_ago);
                    },
                .unload =
                    [this, i] {
                      const std::lock_guard lock(mutex);
                      asked_ones += std::to_string(i);
                    }});
  }
  std::future<bool> acquire_later(size_t i) {
    return std::async(std::launch::async, [this, i] { return memory.acquire(i, [] { return true; }); });
  }
  bool acquire(size_t i) {
    return memory.acquire(i, [] { return true; });
  }
  std::string asked() {
    const std::lock_guard lock(mutex);
    return asked_ones;
  }
  bool are_asked(const std::string& wanted) {
    for (int k = 0; k < 500; ++k) {
      if (asked() == wanted) return true;
      std::this_thread::sleep_for(milliseconds(2));
    }
    return false;
  }

  size_t n = 0;
  std::vector<std::unique_ptr<std::atomic<bool>>> idle;
  std::mutex mutex;
  std::string asked_ones;  // guarded by it
  ModelMemory memory;
};

bool is_waiting(std::future<bool>& f) { return f.wait_for(milliseconds(60)) == std::future_status::timeout; }

TEST(ModelMemory, OneAloneAlwaysFits) {
  FakeModels m(10);
  m.add(1000, true, 0);
  EXPECT_TRUE(m.acquire(0));
}

TEST(ModelMemory, WhatFitsTogetherStays) {
  FakeModels m(10);
  for (int i = 0; i < 4; ++i) m.add(3, true, i);
  for (size_t i = 0; i < 3; ++i) EXPECT_TRUE(m.acquire(i));
  EXPECT_EQ(m.asked(), "");
}

TEST(ModelMemory, TheLeastRecentlyUsedIdleOneGoesFirst) {
  FakeModels m(9);
  m.add(3, true, 10);
  m.add(3, false, 50);  // used least recently, but busy
  m.add(3, true, 20);
  m.add(3, true, 0);
  for (size_t i = 0; i < 3; ++i) ASSERT_TRUE(m.acquire(i));
  auto fourth = m.acquire_later(3);
  ASSERT_TRUE(m.are_asked("2"));
  EXPECT_TRUE(is_waiting(fourth));
  m.memory.release(2);
  EXPECT_TRUE(fourth.get());
  EXPECT_EQ(m.asked(), "2");
}

TEST(ModelMemory, AsManyGoAsAreNeededAndBusyOnesLast) {
  FakeModels m(9);
  m.add(3, false, 50);
  m.add(3, false, 10);
  m.add(3, true, 20);
  m.add(6, true, 0);
  for (size_t i = 0; i < 3; ++i) ASSERT_TRUE(m.acquire(i));
  auto large = m.acquire_later(3);
  ASSERT_TRUE(m.are_asked("20"));
  m.memory.release(2);
  EXPECT_TRUE(is_waiting(large));
  m.memory.release(0);
  EXPECT_TRUE(large.get());
}

TEST(ModelMemory, ThoseThatWaitAreServedInOrderAndMayGiveUp) {
  FakeModels m(5);
  for (int i = 0; i < 3; ++i) m.add(5, false, i);
  ASSERT_TRUE(m.acquire(0));
  std::atomic<bool> wanted = true;
  auto second = std::async(std::launch::async, [&] { return m.memory.acquire(1, [&] { return wanted.load(); }); });
  ASSERT_TRUE(m.are_asked("0"));
  auto third = m.acquire_later(2);
  EXPECT_TRUE(is_waiting(third));
  wanted = false;
  EXPECT_FALSE(second.get());
  EXPECT_TRUE(is_waiting(third));
  m.memory.release(0);
  EXPECT_TRUE(third.get());
  EXPECT_EQ(m.asked(), "0");
}

}  // namespace
}  // namespace fathom::server
