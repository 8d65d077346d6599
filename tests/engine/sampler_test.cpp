#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "support/errors.h"

namespace fathom {
namespace {

const std::vector<float> kLogits = {1.0f, 3.0f, 2.0f, 3.0f, -1.0f};

SamplingOptions plain(double temperature) {
  SamplingOptions o;
  o.temperature = temperature;
  o.top_p = 1;
  return o;
}

std::map<int32_t, int> draw(const SamplingOptions& o, int n, std::span<const int32_t> history = {}) {
  std::map<int32_t, int> counts;
  for (int i = 0; i < n; ++i) ++counts[sample(kLogits, 5, history, i, o)];
  return counts;
}

TEST(Sampler, GreedyTakesTheLargestAndOnATieTheLowerId) {
  EXPECT_EQ(sample(kLogits, 5, {}, 0, plain(0)), 1);
  EXPECT_EQ(sample(kLogits, 1, {}, 0, plain(0)), 0);
}

TEST(Sampler, FrequenciesFollowTheSoftmax) {
  constexpr int n = 40000;
  for (const double temperature : {0.5, 1.0, 2.0}) {
    double sum = 0;
    for (float l : kLogits) sum += std::exp(l / temperature);
    const auto counts = draw(plain(temperature), n);
    for (const auto& [id, count] : counts) {
      const double p = std::exp(kLogits[static_cast<size_t>(id)] / temperature) / sum;
      EXPECT_NEAR(count, n * p, 5 * std::sqrt(n * p * (1 - p)) + 1)
          << id << " at " << temperature;  // five standard deviations
    }
  }
}

TEST(Sampler, FiltersKeepWhatTheySay) {
  SamplingOptions o = plain(1);
  o.top_k = 2;
  EXPECT_EQ(draw(o, 2000).size(), 2u);
  o = plain(1);
  o.top_p = 0.5;  // 1 and 3 have 0.40 each
  const auto top_p = draw(o, 2000);
  EXPECT_EQ(top_p.size(), 2u);
  EXPECT_TRUE(top_p.count(1) == 1 && top_p.count(3) == 1);
  o = plain(1);
  o.min_p = 0.3;  // 2 has e^-1 = 0.37 of the largest, 0 has 0.14
  EXPECT_EQ(draw(o, 4000).size(), 3u);
}

TEST(Sampler, RepeatPenaltyWeakensWhatTheWindowHolds) {
  SamplingOptions o = plain(0);
  o.repeat_penalty = 2;
  EXPECT_EQ(sample(kLogits, 5, std::vector<int32_t>{1, 3}, 2, o), 2);
  o.repeat_window = 1;
  EXPECT_EQ(sample(kLogits, 5, std::vector<int32_t>{1, 3}, 2, o), 1);
}

TEST(Sampler, TheDrawDependsOnSeedAndPositionAlone) {
  SamplingOptions a = plain(1), b = plain(1);
  b.seed = 1;
  int different = 0;
  for (int i = 0; i < 100; ++i) {
    EXPECT_EQ(sample(kLogits, 5, {}, i, a), sample(kLogits, 5, {}, i, a));
    different += sample(kLogits, 5, {}, i, a) != sample(kLogits, 5, {}, i, b);
  }
  EXPECT_GT(different, 20);
}

TEST(Sampler, LogitsThatAreNotFiniteAreAnError) {
  for (const float bad : {NAN, INFINITY}) {
    std::vector<float> logits = kLogits;
    logits[2] = bad;
    EXPECT_THROW(sample(logits, 5, {}, 0, plain(0)), Error);
  }
}

TEST(Sampler, CheckedLogitsAreAllFinite) {
  EXPECT_NO_THROW(check_finite_logits(kLogits));
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    std::vector<float> logits = kLogits;
    logits[2] = bad;
    EXPECT_THROW(check_finite_logits(logits), Error);
  }
}

TEST(Sampler, OptionsOutOfRangeAreNamed) {
  for (const auto& [name, change] : std::map<std::string, void (*)(SamplingOptions&)>{
           {"--temperature", [](SamplingOptions& o) { o.temperature = -1; }},
           {"--top-p", [](SamplingOptions& o) { o.top_p = NAN; }},
           {"--min-p", [](SamplingOptions& o) { o.min_p = 1.5; }},
           {"--repeat-penalty", [](SamplingOptions& o) { o.repeat_penalty = 0; }},
           {"--top-k", [](SamplingOptions& o) { o.top_k = -1; }}}) {
    SamplingOptions o;
    change(o);
    EXPECT_TRUE(test::contains(test::refusal([&] { validate(o); }), name));
  }
}

}  // namespace
}  // namespace fathom
