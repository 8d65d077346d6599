#include "engine/sampler.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "base/random.h"
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

TEST(Sampler, OnlyAllowedIdsAreChosen) {
  const std::vector<uint64_t> allowed = {0b10100};
  EXPECT_EQ(sample(kLogits, 5, {}, 0, plain(0), allowed), 2);
  SamplingOptions o = plain(100);
  o.logit_bias = {{1, 100}};  // does not bring back what is forbidden
  for (int i = 0; i < 200; ++i) {
    const int32_t id = sample(kLogits, 5, {}, i, o, allowed);
    EXPECT_TRUE(id == 2 || id == 4) << id;
  }
  std::vector<float> many(200, 0.0f);
  many[150] = 1;
  EXPECT_EQ(sample(many, 200, {}, 0, plain(0), std::vector<uint64_t>{1, 2}), 0);  // ids beyond the words are forbidden
}

TEST(Sampler, NothingThatMayBeChosenIsAnError) {
  const auto refusal = [](std::span<const float> logits, std::span<const uint64_t> allowed, double temperature) {
    return test::refusal([&] { sample(logits, 5, {}, 0, plain(temperature), allowed); });
  };
  const std::vector<float> impossible(5, -INFINITY);
  const std::vector<uint64_t> none = {0}, beyond = {1 << 6};
  for (const double temperature : {0.0, 1.0}) {
    EXPECT_TRUE(test::contains(refusal(kLogits, none, temperature), "no token may be chosen"));
    EXPECT_TRUE(test::contains(refusal(kLogits, beyond, temperature), "no token may be chosen"));
    EXPECT_TRUE(test::contains(refusal(impossible, {}, temperature), "no token may be chosen"));
    EXPECT_TRUE(test::contains(test::refusal([&] { sample(kLogits, 0, {}, 0, plain(temperature)); }), "no token"));
  }
}

TEST(Sampler, ALogitOfMinusInfinityIsNeverDrawn) {
  const std::vector<float> logits = {-INFINITY, 0.0f, -INFINITY};
  SamplingOptions o = plain(100);
  o.top_k = 3;
  o.logit_bias = {{0, 100}};
  for (int i = 0; i < 200; ++i) EXPECT_EQ(sample(logits, 3, {}, i, o), 1);
}

TEST(Sampler, BiasesAddUpAndUnusableIdsArePassedOver) {
  SamplingOptions o = plain(0);
  o.logit_bias = {{2, 0.75}, {99, 100}, {2, 0.75}, {4, -100}};
  EXPECT_EQ(sample(kLogits, 5, {}, 0, o), 2);  // 3.5
  o.logit_bias = {{2, 0.75}};
  EXPECT_EQ(sample(kLogits, 5, {}, 0, o), 1);
}

// OpenAI: logit -= count * frequency + (count > 0) * presence, of generated tokens.
TEST(Sampler, PresenceAndFrequencyCountGeneratedTokensAlone) {
  const std::vector<int32_t> history = {3, 3, 3, 1, 1, 3};  // three of the prompt
  SamplingOptions o = plain(0);
  o.frequency_penalty = 0.4;
  const auto chosen = [&](int64_t n_prompt) { return sample(kLogits, 5, history, 6, o, {}, n_prompt); };
  EXPECT_EQ(chosen(3), 3);  // 1: 3 - 0.8, 3: 3 - 0.4
  EXPECT_EQ(chosen(0), 1);  // 3: 3 - 1.6
  EXPECT_EQ(chosen(6), 1);  // nothing was generated
  o.frequency_penalty = 0;
  o.presence_penalty = 1.5;
  EXPECT_EQ(chosen(3), 2);  // both 1.5, below 2
  EXPECT_EQ(chosen(5), 1);
  o.presence_penalty = -0.5;  // a reward
  EXPECT_EQ(chosen(5), 3);
}

TEST(Sampler, DryWeakensWhatGoesOnWithARepetition) {
  SamplingOptions o = plain(0);
  o.dry_multiplier = 0.8;
  const auto chosen = [&](const std::vector<int32_t>& history) { return sample(kLogits, 5, history, 9, o); };
  EXPECT_EQ(chosen({8, 9, 1, 7, 8, 9}), 3);                 // 8 9 -> 1 again: 0.8 off
  EXPECT_EQ(chosen({5, 9, 1, 7, 8, 9}), 1);                 // a repetition of one token is allowed
  EXPECT_EQ(chosen({6, 8, 9, 1, 6, 8, 9, 3, 6, 8, 9}), 2);  // both 0.8 * 1.75 = 1.4 off
  o.dry_breakers = {9};
  EXPECT_EQ(chosen({6, 8, 9, 1, 6, 8, 9}), 1);
  o.dry_breakers = {6};
  EXPECT_EQ(chosen({6, 8, 9, 1, 6, 8, 9}), 3);  // 8 9 alone
  o.dry_breakers = {1};
  EXPECT_EQ(chosen({6, 8, 9, 1, 6, 8, 9}), 1);  // breakers are not penalised
  o.dry_breakers = {};
  o.dry_penalty_last_n = 4;
  EXPECT_EQ(chosen({8, 9, 1, 8, 9}), 1);  // 8 lies outside
}

TEST(Sampler, DryTakesALongHistoryOfOneToken) {
  SamplingOptions o = plain(0);
  o.dry_multiplier = 100;
  o.dry_base = 100;
  EXPECT_EQ(sample(kLogits, 5, std::vector<int32_t>(200'000, 1), 0, o), 3);
}

TEST(Sampler, TypicalKeepsWhatIsNearestToTheEntropy) {
  const std::vector<float> logits = {std::log(0.5f), std::log(0.3f), std::log(0.15f), std::log(0.05f)};
  SamplingOptions o = plain(1);
  // Entropy 1.142; -ln p: 0.693, 1.204, 1.897, 2.996, so 1, 0, 2, 3 is the order of nearness.
  const auto kept = [&](double p) {
    o.typical_p = p;
    std::map<int32_t, int> counts;
    for (int i = 0; i < 2000; ++i) ++counts[sample(logits, 4, {}, i, o)];
    std::vector<int32_t> ids;
    for (const auto& [id, count] : counts) ids.push_back(id);
    return ids;
  };
  EXPECT_EQ(kept(0.29), (std::vector<int32_t>{1}));
  EXPECT_EQ(kept(0.7), (std::vector<int32_t>{0, 1}));
  EXPECT_EQ(kept(0.9), (std::vector<int32_t>{0, 1, 2}));
}

TEST(Sampler, XtcLeavesTheLeastLikelyOfTheTopChoices) {
  const std::vector<float> logits = {std::log(0.2f), std::log(0.4f), std::log(0.3f), std::log(0.1f)};
  SamplingOptions o = plain(1);
  o.xtc_probability = 1;
  const auto counts = [&](double threshold) {
    o.xtc_threshold = threshold;
    std::map<int32_t, int> found;
    for (int i = 0; i < 2000; ++i) ++found[sample(logits, 4, {}, i, o)];
    return found;
  };
  auto found = counts(0.15);  // 1, 2 and 0 reach it
  EXPECT_EQ(found.size(), 2u);
  EXPECT_TRUE(found.count(0) == 1 && found.count(3) == 1);
  EXPECT_EQ(counts(0.35).size(), 4u);  // one alone reaches it
  EXPECT_EQ(counts(0.05).size(), 1u);
  o.xtc_probability = 0.25;
  found = counts(0.05);
  // 3 in the quarter of the rows, and in 0.1 of the others: 0.325 of 2000, five standard deviations.
  EXPECT_NEAR(found[3], 650, 105);
}

TEST(Sampler, TokenLogprobsAreThoseOfTheSoftmax) {
  const double sum = std::exp(1.0) + 2 * std::exp(3.0) + std::exp(2.0);
  const TokenLogprobs found = token_logprobs(kLogits, 4, 3, 3);  // the last is no usable id
  EXPECT_NEAR(found.chosen, 3 - std::log(sum), 1e-14);
  ASSERT_EQ(found.top.size(), 3u);
  EXPECT_EQ(found.top[0].id, 1);
  EXPECT_EQ(found.top[1].id, 3);
  EXPECT_EQ(found.top[2].id, 2);
  EXPECT_EQ(found.top[1].logprob, found.chosen);
  EXPECT_EQ(token_logprobs(kLogits, 4, 0, 9).top.size(), 4u);
  EXPECT_TRUE(token_logprobs(kLogits, 4, 0, 0).top.empty());
}

TEST(Sampler, LogSumExpIsThatOfStdExp) {
  for (uint64_t seed = 1; seed < 200; ++seed) {
    std::vector<float> logits(1 + seed * 7);
    const double deviation = std::array{0.1, 2.0, 10.0, 1e4, 1e30}[seed % 5];
    for (size_t i = 0; i < logits.size(); ++i)
      logits[i] = static_cast<float>(deviation * standard_normal(seed, 5, i) + 7);
    if (seed % 3 == 0) logits[seed / 2] = -INFINITY;
    const double largest = *std::max_element(logits.begin(), logits.end());
    double sum = 0;
    for (const float l : logits) sum += std::exp(l - largest);
    const double want = largest + std::log(sum);
    ASSERT_NEAR(log_sum_exp(logits), want, 1e-13 * std::max(1.0, std::abs(want))) << seed;
  }
  EXPECT_TRUE(std::isnan(log_sum_exp(std::vector<float>{1, NAN, 2})));
}

TEST(Sampler, OptionsOutOfRangeAreNamed) {
  for (const auto& [name,
                    change] : std::map<std::string, void (*)(SamplingOptions&)>{{"--temperature",
                                                                                 [](SamplingOptions& o) {
                                                                                   o.temperature = -1;
                                                                                 }},
                                                                                {"--top-p",
                                                                                 [](SamplingOptions& o) {
                                                                                   o.top_p = NAN;
                                                                                 }},
                                                                                {"--min-p",
                                                                                 [](SamplingOptions& o) {
                                                                                   o.min_p = 1.5;
                                                                                 }},
                                                                                {"--repeat-penalty",
                                                                                 [](SamplingOptions& o) {
                                                                                   o.repeat_penalty = 0;
                                                                                 }},
                                                                                {"--top-k",
                                                                                 [](SamplingOptions& o) {
                                                                                   o.top_k = -1;
                                                                                 }},
                                                                                {"--typical",
                                                                                 [](SamplingOptions& o) {
                                                                                   o.typical_p = -0.1;
                                                                                 }},
                                                                                {"--repeat-last-n",
                                                                                 [](SamplingOptions& o) {
                                                                                   o.repeat_window = -1;
                                                                                 }},
                                                                                {"--presence-penalty",
                                                                                 [](SamplingOptions& o) {
                                                                                   o.presence_penalty = 2.5;
                                                                                 }},
                                                                                {"--frequency-penalty",
                                                                                 [](SamplingOptions& o) {
                                                                                   o.frequency_penalty = -INFINITY;
                                                                                 }},
                                                                                {"--dry-multiplier",
                                                                                 [](SamplingOptions& o) {
                                                                                   o.dry_multiplier = -1;
                                                                                 }},
                                                                                {"--dry-base",
                                                                                 [](SamplingOptions& o) {
                                                                                   o.dry_base = 0.5;
                                                                                 }},
                                                                                {"--dry-allowed-length",
                                                                                 [](SamplingOptions& o) {
                                                                                   o.dry_allowed_length = 0;
                                                                                 }},
                                                                                {"--dry-penalty-last-n",
                                                                                 [](SamplingOptions& o) {
                                                                                   o.dry_penalty_last_n = -2;
                                                                                 }},
                                                                                {"--dry-sequence-breaker",
                                                                                 [](SamplingOptions& o) {
                                                                                   o.dry_breakers = {5, 3};
                                                                                 }},
                                                                                {"--xtc-probability",
                                                                                 [](SamplingOptions& o) {
                                                                                   o.xtc_probability = 1.01;
                                                                                 }},
                                                                                {"--xtc-threshold",
                                                                                 [](SamplingOptions& o) {
                                                                                   o.xtc_threshold = NAN;
                                                                                 }},
                                                                                {"--logit-bias",
                                                                                 [](SamplingOptions& o) {
                                                                                   o.logit_bias = {{3, 101}};
                                                                                 }},
                                                                                {"--logit-bias: -3",
                                                                                 [](SamplingOptions& o) {
                                                                                   o.logit_bias = {{-3, 1}};
                                                                                 }}}) {
    SamplingOptions o;
    change(o);
    EXPECT_TRUE(test::contains(test::refusal([&] { validate(o); }), name));
  }
}

}  // namespace
}  // namespace fathom
