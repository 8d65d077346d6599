#include "server/engine_thread.h"

#include <gtest/gtest.h>

#include <future>

#include "kernels/peak.h"
#include "support/random_model.h"

namespace fathom::server {
namespace {

using namespace fathom::testing;

struct Fixture {
  explicit Fixture(SchedulerOptions scheduler = {}, std::chrono::milliseconds unload_after = {})
      : Fixture(options(std::move(scheduler), unload_after)) {}
  explicit Fixture(EngineThreadOptions o) : weights(config()), model(model_of(weights)), engine(model, std::move(o)) {}
  static ModelConfig config() {
    ModelConfig c = packable_v2_config();
    c.max_position_embeddings = 2048;
    return c;
  }
  static EngineThreadOptions options(SchedulerOptions scheduler, std::chrono::milliseconds unload_after) {
    EngineThreadOptions o;
    o.scheduler = std::move(scheduler);
    o.threads = 2;
    o.engine.engine.numerics = Numerics::quantised();
    o.engine.engine.cache_tokens = 8192;
    o.unload_after = unload_after;
    return o;
  }
  // The reason of its end comes through the future.
  std::pair<EngineThread::Submitted, std::future<EndReason>> ask(int64_t n_prompt, int64_t n,
                                                                 std::vector<EngineThread::Ticket>& tickets,
                                                                 double deadline = 0) {
    auto promise = std::make_shared<std::promise<EndReason>>();
    ScheduledRequest r;
    r.prompt = random_ids(n_prompt, 97, 1);
    r.generate.max_tokens = n;
    r.generate.n_usable_ids = 97;
    r.deadline = deadline;
    r.events.on_end = [promise](const Ended& e) { promise->set_value(e.reason); };
    std::vector<ScheduledRequest> requests;
    requests.push_back(std::move(r));
    const auto taken = engine.submit(std::move(requests), tickets);
    return {taken, promise->get_future()};
  }

  RandomModel weights;
  Model model;
  EngineThread engine;
};

TEST(EngineThread, ManyThreadsAskAtOnce) {
  Fixture f;
  std::vector<std::thread> threads;
  std::atomic<int> done = 0;
  for (int t = 0; t < 8; ++t)
    threads.emplace_back([&] {
      for (int i = 0; i < 10; ++i) {
        std::vector<EngineThread::Ticket> tickets;
        auto [taken, end] = f.ask(20, 5, tickets);
        ASSERT_EQ(taken, EngineThread::Submitted::yes);
        if (i % 3 == 0) f.engine.cancel(tickets[0]);
        end.get();
        ++done;
      }
    });
  for (std::thread& t : threads) t.join();
  EXPECT_EQ(done, 80);
  EXPECT_EQ(f.engine.snapshot().running, 0);
  EXPECT_EQ(f.engine.snapshot().cache_tokens_in_use, 0);
}

TEST(EngineThread, TheQueueIsBounded) {
  Fixture f({.max_running = 1, .max_queued = 2});
  std::vector<EngineThread::Ticket> tickets;
  std::vector<std::future<EndReason>> ends;
  int taken = 0, refused = 0;
  for (int i = 0; i < 20; ++i) {
    auto [yes, end] = f.ask(500, 1000, tickets);
    if (yes == EngineThread::Submitted::yes) {
      ends.push_back(std::move(end));
      ++taken;
    } else {
      EXPECT_EQ(yes, EngineThread::Submitted::queue_full);
      ++refused;
    }
    EXPECT_LE(f.engine.snapshot().queued, 3);
  }
  EXPECT_GE(taken, 3);
  EXPECT_GE(refused, 10);
  for (const auto t : tickets) f.engine.cancel(t);
  for (auto& e : ends) EXPECT_EQ(e.get(), EndReason::cancelled);
}

TEST(EngineThread, DrainingEndsWhatRunsAndTakesNothingNew) {
  Fixture f;
  std::vector<EngineThread::Ticket> tickets;
  auto [first, end] = f.ask(30, 50, tickets);
  f.engine.drain(std::chrono::seconds(60));
  auto [second, never] = f.ask(30, 5, tickets);
  EXPECT_EQ(second, EngineThread::Submitted::stopping);
  EXPECT_EQ(end.get(), EndReason::length);
  f.engine.join();
  EXPECT_EQ(f.engine.snapshot().state, EngineState::stopped);
}

TEST(EngineThread, APatienceThatEndsCancels) {
  Fixture f;
  std::vector<EngineThread::Ticket> tickets;
  auto [taken, end] = f.ask(30, 1'000'000, tickets);
  f.engine.drain(std::chrono::milliseconds(0));
  f.engine.join();
  EXPECT_EQ(end.get(), EndReason::cancelled);
}

TEST(EngineThread, AnIdleModelIsUnloadedAndComesBack) {
  Fixture f({}, std::chrono::milliseconds(100));
  std::vector<EngineThread::Ticket> tickets;
  EXPECT_EQ(f.ask(10, 3, tickets).second.get(), EndReason::length);
  for (int i = 0; i < 200 && f.engine.snapshot().state != EngineState::unloaded; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_EQ(f.engine.snapshot().state, EngineState::unloaded);
  EXPECT_EQ(f.ask(10, 3, tickets).second.get(), EndReason::length);
  f.engine.drain(std::chrono::seconds(10));
  f.engine.join();
  EXPECT_EQ(f.engine.snapshot().loads, 2);
  EXPECT_EQ(f.engine.snapshot().counts.generated_tokens, 6) << "figures go on over loads";
}

TEST(EngineThread, OneThatIsToGoEndsWhatItBeganAndServesTheRestLater) {
  Fixture f;
  std::vector<EngineThread::Ticket> tickets;
  auto begun = f.ask(30, 300, tickets).second;
  while (f.engine.snapshot().running == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  f.engine.unload();
  auto later = f.ask(30, 5, tickets).second;
  EXPECT_EQ(begun.get(), EndReason::length);
  EXPECT_EQ(later.get(), EndReason::length);
  EXPECT_EQ(f.engine.snapshot().loads, 2);
}

// What waits for room may be cancelled, runs out of time, and has an end when the server stops.
TEST(EngineThread, RequestsThatWaitForRoomHaveTheirEnds) {
  auto options = Fixture::options({}, {});
  std::atomic<bool> has_room = false;
  options.make_room = [&](const std::function<bool()>& wanted) {
    while (!has_room && wanted()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    return has_room.load();
  };
  Fixture f(options);
  std::vector<EngineThread::Ticket> tickets;
  auto cancelled = f.ask(10, 3, tickets).second;
  f.engine.cancel(tickets[0]);
  EXPECT_EQ(cancelled.get(), EndReason::cancelled);
  auto late = f.ask(10, 3, tickets, clock_seconds() + 0.02).second;
  EXPECT_EQ(late.get(), EndReason::deadline);
  auto patient = f.ask(10, 3, tickets).second;
  has_room = true;
  EXPECT_EQ(patient.get(), EndReason::length);
  has_room = false;
  f.engine.unload();
  auto stopped = f.ask(10, 3, tickets).second;
  f.engine.drain(std::chrono::milliseconds(20));
  f.engine.join();
  EXPECT_EQ(stopped.get(), EndReason::cancelled);
}

TEST(EngineThread, AModelThatCannotBeLoadedSaysWhyAndStopsNothing) {
  auto options = Fixture::options({}, {});
  options.make_room = [](const std::function<bool()>&) -> bool { throw std::bad_alloc(); };
  Fixture f(options);
  std::vector<EngineThread::Ticket> tickets;
  while (f.engine.snapshot().state != EngineState::failed) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  EXPECT_EQ(f.ask(10, 3, tickets).first, EngineThread::Submitted::failed) << "not tried again at once";
  EXPECT_EQ(f.engine.snapshot().error, "std::bad_alloc");
}

}  // namespace
}  // namespace fathom::server
