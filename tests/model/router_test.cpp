#include "model/moe/router.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace fathom {
namespace {

struct Routed {
  std::vector<int32_t> experts;
  std::vector<float> gates, scores;
};

Routed route_one(const ModelConfig& c, std::vector<float> logits, const std::vector<float>& bias = {}) {
  ThreadPool pool(1);
  Routed r{std::vector<int32_t>(static_cast<size_t>(c.num_experts_per_tok)),
           std::vector<float>(static_cast<size_t>(c.num_experts_per_tok)), std::move(logits)};
  route(pool, c, {r.scores.data(), 1, c.n_routed_experts}, {bias.data(), std::ssize(bias)},
        {{r.experts.data(), 1, c.num_experts_per_tok}, {r.gates.data(), 1, c.num_experts_per_tok}});
  return r;
}

ModelConfig worked_example() {  // spec section 1.6
  ModelConfig c;
  c.n_routed_experts = 8;
  c.n_group = 4;
  c.topk_group = 2;
  c.num_experts_per_tok = 3;
  c.routed_scaling_factor = 16;
  c.topk_method = TopkMethod::group_limited_greedy;
  return c;
}
const std::vector<float> kLogits = {2.0f, -1.0f, 1.9f, 1.8f, 0.0f, 1.7f, 1.6f, -2.0f};

TEST(Router, WorkedExampleOfTheSpecification) {
  const Routed r = route_one(worked_example(), kLogits);
  const std::vector<double> softmax = {.230513, .011477, .208577, .188728, .031197, .170768, .154518, .004222};
  for (size_t i = 0; i < 8; ++i) EXPECT_NEAR(r.scores[i], softmax[i], 5e-7);
  EXPECT_EQ(r.experts, (std::vector<int32_t>{0, 2, 3}));
  const std::vector<double> gates = {3.688213, 3.337233, 3.019653};
  for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(r.gates[i], gates[i], 5e-6);
}

TEST(Router, GroupsLimitWhatGreedyWouldChoose) {
  // The four best experts lie in four groups; with two groups kept, only the partners of the best two remain.
  const std::vector<float> logits = {4.0f, -3.0f, 3.9f, -4.0f, 3.8f, 0.0f, 3.7f, 0.0f};
  ModelConfig c = worked_example();
  EXPECT_EQ(route_one(c, logits).experts, (std::vector<int32_t>{0, 2, 1}));
  c.topk_method = TopkMethod::greedy;
  EXPECT_EQ(route_one(c, logits).experts, (std::vector<int32_t>{0, 2, 4}));
}

TEST(Router, TheGroupScoreIsTheMaximumNotASum) {
  // Group 1 has the larger pair sum, group 0 the single best expert: with one group kept, group 0 wins.
  ModelConfig c = worked_example();
  c.topk_group = 1;
  c.num_experts_per_tok = 2;
  EXPECT_EQ(route_one(c, {3.0f, -9.0f, 2.9f, 2.9f, 0, 0, 0, 0}).experts, (std::vector<int32_t>{0, 1}));
}

TEST(Router, TiesGoToTheLowerIndex) {
  const std::vector<float> equal(8, 1.0f);
  ModelConfig c = worked_example();
  EXPECT_EQ(route_one(c, equal).experts, (std::vector<int32_t>{0, 1, 2}));
  c.topk_method = TopkMethod::greedy;
  EXPECT_EQ(route_one(c, equal).experts, (std::vector<int32_t>{0, 1, 2}));
}

TEST(Router, NormalisedGatesSumToTheScalingFactor) {
  ModelConfig c = worked_example();
  c.norm_topk_prob = true;
  const Routed r = route_one(c, kLogits);
  EXPECT_NEAR(r.gates[0] + r.gates[1] + r.gates[2], 16.0, 1e-5);
}

TEST(Router, ASingleGateIsNotDividedByItself) {
  // Softmax of the worked example: expert 0 has 0.230513, times 16. The gradient of the gate is that factor.
  ModelConfig c = worked_example();
  c.num_experts_per_tok = 1;
  c.norm_topk_prob = true;
  for (const TopkMethod method : {TopkMethod::greedy, TopkMethod::group_limited_greedy}) {
    c.topk_method = method;
    Routed r = route_one(c, kLogits);
    EXPECT_EQ(r.experts, std::vector<int32_t>{0});
    EXPECT_NEAR(r.gates[0], 3.688213, 5e-6);
    ThreadPool pool(1);
    std::vector<float> dgate = {0.25f}, dscores(8);
    gates_backward(pool, c, {r.scores.data(), 1, 8}, {{r.experts.data(), 1, 1}, {r.gates.data(), 1, 1}},
                   {dgate.data(), 1, 1}, {dscores.data(), 1, 8});
    EXPECT_EQ(dscores, (std::vector<float>{4, 0, 0, 0, 0, 0, 0, 0}));
  }
}

TEST(Router, AMaskedExpertIsNotElectedWhenTheAllowedOnesUnderflow) {
  // Experts 3 and 5 of the kept groups have softmax 0 in float32. A mask of 0 would tie with 0 and 1, which are masked
  // and come first.
  ModelConfig c = worked_example();
  c.num_experts_per_tok = 4;
  const Routed r = route_one(c, {-200.0f, -200.0f, 0.0f, -500.0f, 0.0f, -500.0f, -300.0f, -300.0f});
  EXPECT_EQ(r.experts, (std::vector<int32_t>{2, 4, 3, 5}));
}

TEST(Router, TheBiasChoosesAndTheGateDoesNotKnowIt) {
  ModelConfig c = worked_example();
  c.n_group = c.topk_group = 1;
  const Routed greedy = route_one(
      [&] {
        ModelConfig g = c;
        g.topk_method = TopkMethod::greedy;
        return g;
      }(),
      kLogits);
  EXPECT_EQ(greedy.experts, (std::vector<int32_t>{0, 2, 3}));
  c.topk_method = TopkMethod::noaux_tc;
  EXPECT_EQ(route_one(c, kLogits, std::vector<float>(8)).experts, greedy.experts);
  const Routed r = route_one(c, kLogits, {-1, 0, 0, 0, 0, 0, 0.1f, 0.5f});  // 0 never, 7 always, 6 before 2
  EXPECT_EQ(r.experts, (std::vector<int32_t>{7, 6, 2}));
  EXPECT_EQ(r.scores, greedy.scores);
  for (size_t k = 0; k < 3; ++k) EXPECT_EQ(r.gates[k], 16.0f * r.scores[static_cast<size_t>(r.experts[k])]);
  c.norm_topk_prob = true;
  const Routed normed = route_one(c, kLogits, {-1, 0, 0, 0, 0, 0, 0.1f, 0.5f});
  EXPECT_NEAR(normed.gates[0] + normed.gates[1] + normed.gates[2], 16.0, 1e-5);
}

TEST(Router, WithABiasAGroupsScoreIsTheSumOfItsTwoBest) {
  ModelConfig c = worked_example();
  c.topk_method = TopkMethod::noaux_tc;
  c.topk_group = 1;
  c.num_experts_per_tok = 2;
  const std::vector<float> logits = {3.0f, -9.0f, 2.9f, 2.9f, 0, 0, 0, 0};
  EXPECT_EQ(route_one(c, logits, std::vector<float>(8)).experts, (std::vector<int32_t>{2, 3}));
  EXPECT_EQ(route_one(c, logits, {0, 0, 0, 0, 1, 1, 0, 0}).experts, (std::vector<int32_t>{4, 5}));
}

TEST(Router, NaNIsNeverOutOfRange) {
  for (size_t bad = 0; bad < 8; ++bad) {
    std::vector<float> logits = kLogits;
    logits[bad] = NAN;
    for (int32_t e : route_one(worked_example(), logits).experts) EXPECT_TRUE(e >= 0 && e < 8);
  }
}

}  // namespace
}  // namespace fathom
