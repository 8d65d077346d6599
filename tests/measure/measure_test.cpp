#include "measure/measure.h"

#include <gtest/gtest.h>

#include <numeric>

#include "measure/limits.h"
#include "measure/profile.h"
#include "support/engine.h"
#include "support/random_model.h"

namespace fathom {
namespace {

using testing::model_of;

const std::vector<Work> kWorks = {{WorkKind::prefill, 20, 0, 1},
                                  {WorkKind::prefill, 5, 70, 1},
                                  {WorkKind::decode, 3, 0, 1},
                                  {WorkKind::decode, 3, 130, 1},
                                  {WorkKind::decode, 2, 64, 3}};

TEST(Measure, EveryWorkIsTimedAsOftenAsAskedAndTheCacheIsEmptyAfterwards) {
  const testing::RandomModel random(testing::tiny_v2_config());
  const Model model = model_of(random);
  for (const Fill fill : {Fill::random, Fill::prefill})
    for (const CacheType type : {CacheType::f32, CacheType::q16}) {
      testing::TestEngine loaded(model, {.threads = 2, .cache_tokens = cache_tokens_for(kWorks), .cache_type = type});
      Engine& engine = loaded.engine;
      const int64_t room = engine.cache().free_tokens();
      std::vector<Work> started;
      const std::vector<Timing> timings =
          measure(engine, kWorks, {.repetitions = 3, .fill = fill}, [&](const Work& w) { started.push_back(w); });
      ASSERT_EQ(timings.size(), kWorks.size());
      for (size_t i = 0; i < timings.size(); ++i) {
        EXPECT_EQ(timings[i].work, kWorks[i]);
        ASSERT_EQ(timings[i].seconds.size(), 3u);
        for (const double s : timings[i].seconds) EXPECT_GT(s, 0);
      }
      EXPECT_EQ(started.front(), kWorks[3]);  // one sequence, the deepest first
      EXPECT_EQ(started.back(), kWorks[4]);
      EXPECT_EQ(engine.cache().free_tokens(), room);
    }
}

TEST(Measure, RoomForTheLargestWorkInWholeBlocks) {
  EXPECT_EQ(cache_tokens_for({}), 64);
  EXPECT_EQ(cache_tokens_for({{WorkKind::prefill, 64, 64, 1}}), 128);
  EXPECT_EQ(cache_tokens_for({{WorkKind::decode, 64, 0, 3}, {WorkKind::prefill, 100, 0, 1}}), 3 * 128);
}

TEST(Measure, Median) {
  EXPECT_EQ(median({3}), 3);
  EXPECT_EQ(median({5, 1, 3}), 3);
  EXPECT_EQ(median({4, 1, 3, 2}), 2.5);
}

TEST(Limits, ReadBandwidthIsThatOfAMachine) {
  ThreadPool pool(2);
  const double rate = read_bandwidth(pool, size_t{1} << 22, 0.01);
  EXPECT_GT(rate, 1e7);
  EXPECT_LT(rate, 1e14);
}

TEST(Profile, PartsMakeUpTheMedianRepetition) {
  Timing t{.work = {WorkKind::decode, 4, 0, 1}, .seconds = {1, 2, 3}};
  t.zones = {{.name = "experts", .caller_seconds = 3, .other_seconds = 4},
             {.name = "route", .caller_seconds = 0.5},
             {.name = "combine", .caller_seconds = 0.25},
             {.name = "wait for threads", .caller_seconds = 0.75},
             {.name = "step", .caller_seconds = 1, .other_seconds = 0.5}};
  const Profile p = profile_of(t, 2);
  EXPECT_DOUBLE_EQ(p.parts[static_cast<size_t>(Part::experts)], 1);
  EXPECT_DOUBLE_EQ(p.parts[static_cast<size_t>(Part::routing)], 0.25);
  EXPECT_DOUBLE_EQ(p.waiting, 0.25);
  EXPECT_DOUBLE_EQ(p.parts[static_cast<size_t>(Part::rest)], (1 + 0.5) / 3);  // steps, and what is in no zone
  EXPECT_DOUBLE_EQ(std::accumulate(p.parts.begin(), p.parts.end(), p.waiting), 2);
  EXPECT_DOUBLE_EQ(p.others_at_work, 4.5 / 6);
}

}  // namespace
}  // namespace fathom
