// Balance losses and token dropping: the formulas.
#include "model/moe/balance.h"

#include <gtest/gtest.h>

namespace fathom {
namespace {

MoeSaved saved_with(std::vector<float>& scores, std::vector<int32_t>& experts, std::vector<float>& gates, int64_t T,
                    int64_t E, int64_t K) {
  MoeSaved s;
  s.scores = {scores.data(), T, E};
  s.routing = {{experts.data(), T, K}, {gates.data(), T, K}};
  return s;
}

TEST(Balance, WorkedExampleOfTheSpecification) {  // section 4.1
  ModelConfig c;
  c.n_routed_experts = 4;
  c.num_experts_per_tok = 2;
  std::vector<float> scores = {.4f, .3f, .2f, .1f, .1f, .2f, .3f, .4f, .35f, .15f, .3f, .2f, .25f, .25f, .4f, .1f},
                     gates(8);
  std::vector<int32_t> experts = {0, 1, 3, 2, 0, 2, 2, 0};
  const MoeSaved s = saved_with(scores, experts, gates, 4, 4, 2);
  const std::vector<SequenceRows> sequences = {{.first = 0, .n = 4, .id = 0}};
  const BalanceOptions ones{
      .expert_alpha = 1, .device_alpha = 1, .communication_alpha = 1, .n_devices = 2, .max_devices = 2};
  const BalanceLosses l = balance_losses(c, ones, s, sequences);
  EXPECT_NEAR(l.expert, 1.075, 1e-6);
  EXPECT_NEAR(l.device, 1.0, 1e-6);
  EXPECT_NEAR(l.communication, 0.75, 1e-6);
  const BalanceOptions v2{
      .expert_alpha = 0.003, .device_alpha = 0.05, .communication_alpha = 0.02, .n_devices = 2, .max_devices = 2};
  EXPECT_NEAR(balance_losses(c, v2, s, sequences).total(), 0.068225, 1e-8);
}

TEST(Balance, AUniformRouterGivesExactlyTheCoefficients) {
  ModelConfig c;
  c.n_routed_experts = 8;
  c.num_experts_per_tok = 2;
  std::vector<float> scores(8 * 8, 0.125f), gates(16);
  std::vector<int32_t> experts;
  for (int32_t t = 0; t < 8; ++t)
    for (int32_t k = 0; k < 2; ++k)
      experts.push_back((t * 2 + k * 2) % 8 + (t >= 4 ? 1 : 0));  // every expert twice, two devices a token
  const MoeSaved s = saved_with(scores, experts, gates, 8, 8, 2);
  const BalanceOptions o{
      .expert_alpha = 0.003, .device_alpha = 0.05, .communication_alpha = 0.02, .n_devices = 4, .max_devices = 2};
  const BalanceLosses l = balance_losses(c, o, s, std::vector<SequenceRows>{{.first = 0, .n = 8, .id = 0}});
  EXPECT_DOUBLE_EQ(l.expert, 0.003);
  EXPECT_DOUBLE_EQ(l.device, 0.05);
  EXPECT_DOUBLE_EQ(l.communication, 0.02);
}

TEST(Balance, DroppingKeepsTheBudgetExceptForExemptSequences) {
  ModelConfig c;
  c.n_routed_experts = 4;
  c.num_experts_per_tok = 1;
  constexpr int64_t T = 40;
  std::vector<float> scores(T * 4), gates(T);
  std::vector<int32_t> experts(T, 0);  // all on device 0
  for (int64_t t = 0; t < T; ++t) scores[static_cast<size_t>(t * 4)] = static_cast<float>(t % 20) / 20;
  const MoeSaved s = saved_with(scores, experts, gates, T, 4, 1);
  uint64_t exempt_id = 0, other_id = 0;
  while (!is_exempt(exempt_id, 0.1)) ++exempt_id;
  while (is_exempt(other_id, 0.1)) ++other_id;
  BalanceOptions o{.n_devices = 2, .max_devices = 2, .capacity_factor = 1};
  std::vector<uint8_t> kept(T);
  const auto count = [&](size_t from, size_t to) {
    return std::count(kept.begin() + static_cast<ptrdiff_t>(from), kept.begin() + static_cast<ptrdiff_t>(to), 1);
  };
  choose_kept(c, o, s.scores, s.routing, std::vector<SequenceRows>{{0, 20, other_id}, {20, 20, other_id}}, kept);
  EXPECT_EQ(count(0, T), 20);
  for (size_t t = 0; t < T; ++t) EXPECT_EQ(kept[t], t % 20 >= 10) << t;  // the highest scores stay
  choose_kept(c, o, s.scores, s.routing, std::vector<SequenceRows>{{0, 20, exempt_id}, {20, 20, other_id}}, kept);
  EXPECT_EQ(count(0, 20), 20);
  EXPECT_EQ(count(20, T), 0);
  choose_kept(c, o, s.scores, s.routing, std::vector<SequenceRows>{{0, 20, exempt_id}, {20, 20, exempt_id}}, kept);
  EXPECT_EQ(count(0, T), T);  // over budget, and all of them stay
}

TEST(Balance, AboutATenthOfAllSequencesIsExempt) {
  int64_t n = 0;
  for (uint64_t id = 0; id < 10000; ++id) n += is_exempt(id, 0.1) ? 1 : 0;
  EXPECT_NEAR(static_cast<double>(n), 1000, 5 * 30);
}

// Loads written out: experts 0 to 3 are chosen 4, 3, 1 and 0 times by 4 tokens of 2 choices; every token goes to device
// 0, one also to device 1. So f = E/(K T) n = (2, 1.5, .5, 0), f' = (1.75, .25), f'' = D/(M T) n = (1, .25).
TEST(Balance, TheGradientIsItsFormulaAndTheLoadsAreConstants) {
  ModelConfig c;
  c.n_routed_experts = 4;
  c.num_experts_per_tok = 2;
  std::vector<float> scores(16, 0.25f), gates(8), gradient(16, 3.0f);
  std::vector<int32_t> experts = {0, 1, 1, 0, 0, 2, 0, 1};
  const MoeSaved s = saved_with(scores, experts, gates, 4, 4, 2);
  const BalanceOptions o{
      .expert_alpha = 1, .device_alpha = 10, .communication_alpha = 100, .n_devices = 2, .max_devices = 2};
  ThreadPool pool(2);
  const std::vector<SequenceRows> sequences = {{.first = 0, .n = 4, .id = 0}};
  balance_gradient(pool, c, {&o, sequences, 0.5f}, s, {gradient.data(), 4, 4});
  const std::vector<double> slopes = {2 + 17.5 + 100, 1.5 + 17.5 + 100, 0.5 + 2.5 + 25, 2.5 + 25};
  for (size_t i = 0; i < 16; ++i) EXPECT_FLOAT_EQ(gradient[i], static_cast<float>(3 + 0.5 * slopes[i % 4] / 4)) << i;
}

}  // namespace
}  // namespace fathom
