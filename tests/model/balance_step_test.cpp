// The balance losses in a whole step. Most implementations have had one of these wrong at some time: no gradient, the
// coefficient lost, counted twice under recomputation, scaled by the number of micro-batches. That stages, ranks and
// expert groups change nothing needs several processes: those tests come with them.
#include <gtest/gtest.h>

#include <numeric>

#include "support/training.h"

namespace fathom {
namespace {

using testing::make_batch;
using testing::make_options;
using testing::RandomModel;
using testing::ReferenceNetwork;
using testing::run_step;
using testing::StepRun;
using testing::Vec;

ModelConfig two_moe_layers() { return testing::tiny_v2_config(); }

// The balance losses alone: no token has weight.
StepOptions balance_alone() {
  StepOptions o = make_options();
  o.token_weight = 0;
  return o;
}

double norm(std::span<const float> x) {
  double sum = 0;
  for (float v : x) sum += double{v} * v;
  return std::sqrt(sum);
}

TEST(BalanceInAStep, TheGradientIsThatOfTheLossesAlone) {
  const RandomModel m(two_moe_layers(), 3, false, 1.2);
  const TrainingBatch b = make_batch(m.config, 5);
  const StepOptions all = balance_alone();
  for (int kind = 0; kind < 3; ++kind) {
    StepOptions o = all;
    if (kind != 0) o.balance.expert_alpha = 0;
    if (kind != 1) o.balance.device_alpha = 0;
    if (kind != 2) o.balance.communication_alpha = 0;
    const StepRun r = run_step(m, b, o);
    for (const char* layer : {"1", "2"})
      EXPECT_GT(norm(gradient_of(m, r, std::string("model.layers.") + layer + ".mlp.gate.weight")), 1e-3) << kind;
    EXPECT_EQ(norm(gradient_of(m, r, "lm_head.weight")), 0);
    testing::expect_gradients("kind " + std::to_string(kind), m, b, o, 1e-4);
  }
}

TEST(BalanceInAStep, EachCoefficientScalesItsLossAndGradientExactly) {
  const RandomModel m(two_moe_layers(), 3, false, 1.2);
  const TrainingBatch b = make_batch(m.config, 5);
  for (double BalanceOptions::*alpha :
       {&BalanceOptions::expert_alpha, &BalanceOptions::device_alpha, &BalanceOptions::communication_alpha}) {
    StepOptions o = balance_alone();
    o.balance.expert_alpha = o.balance.device_alpha = o.balance.communication_alpha = 0;
    EXPECT_EQ(norm(run_step(m, b, o).all()), 0);
    o.balance.*alpha = 0.1;
    StepRun once = run_step(m, b, o);
    o.balance.*alpha = 0.8;
    const StepRun eightfold = run_step(m, b, o);
    EXPECT_GT(once.report.balance.total(), 0.1);
    EXPECT_DOUBLE_EQ(eightfold.report.balance.total(), 8 * once.report.balance.total());
    for (float& g : once.gradients.vec()) g *= 8;  // a power of two: exact
    EXPECT_TRUE(testing::same_bits(once.all(), eightfold.all()));
  }
}

TEST(BalanceInAStep, RecomputingCountsNothingTwice) {
  const RandomModel m(two_moe_layers(), 3, false, 1.2);
  const TrainingBatch b = make_batch(m.config, 5);
  StepOptions o = balance_alone();
  const StepRun kept = run_step(m, b, o);
  o.recompute = Recompute::layers;
  const StepRun again = run_step(m, b, o);
  EXPECT_EQ(again.report.balance.total(), kept.report.balance.total());
  EXPECT_TRUE(testing::same_bits(again.all(), kept.all()));
}

TEST(BalanceInAStep, EveryLayerAndSequenceIsReportedOnce) {
  const RandomModel m(two_moe_layers(), 3, false, 1.2);
  const TrainingBatch b = make_batch(m.config, 5);
  StepOptions o = balance_alone();
  o.sequence_weight = 1;
  const VecView<float> p = m.parameters();
  const double want =
      ReferenceNetwork(m.config, m.weights, Vec(p.begin(), p.end())).objective(b, o, choices_of(m, b, o));
  EXPECT_NEAR(run_step(m, b, o).report.balance.total(), want, 1e-6 * want);
}

TEST(BalanceInAStep, TheNumberOfMicroBatchesScalesNothing) {
  const RandomModel m(two_moe_layers(), 3, false, 1.2);
  TrainingBatch whole;
  whole.targets.assign(8 * 11, -1);
  StepRun eight{{}, Buffer<float>(m.parameters().size)};
  StepOptions o = balance_alone();
  o.sequence_weight = 1.0 / 8;
  for (uint64_t i = 0; i < 8; ++i) {
    const std::vector<int32_t> ids = testing::random_ids(11, m.config.vocab_size, i);
    TrainingBatch one;
    one.batch.add_whole(ids, 0);
    one.targets.assign(11, -1);
    one.sequences = {{.first = 0, .n = 11, .id = i}};
    add_step(m, one, o, eight);
    whole.sequences.push_back({.first = whole.batch.rows(), .n = 11, .id = i});
    whole.batch.add_whole(ids, 0);
  }
  const StepRun one = run_step(m, whole, o);
  EXPECT_NEAR(one.report.balance.total(), eight.report.balance.total(), 1e-12 * one.report.balance.total());
  EXPECT_TRUE(testing::same_bits(one.all(), eight.all()));
}

TEST(BalanceInAStep, LayersWithoutExpertsHaveNoPart) {
  ModelConfig dense = two_moe_layers();
  dense.first_k_dense_replace = dense.num_hidden_layers;
  for (const ModelConfig& c : {dense, testing::tiny_llama_config()}) {
    const RandomModel m(c, 3, false, 1.2);
    const TrainingBatch b = make_batch(c, 5);
    StepOptions o = make_options();
    const StepRun with = run_step(m, b, o);
    EXPECT_EQ(with.report.balance.total(), 0);
    EXPECT_TRUE(with.report.expert_counts.empty());
    o.balance = {};
    EXPECT_TRUE(testing::same_bits(with.all(), run_step(m, b, o).all()));
  }
}

// A router cannot lower its losses by lowering all its scores: they sum to 1 however large the logits are, there is no
// epsilon in a denominator. So the gradient with respect to the logits of a token sums to zero.
TEST(BalanceInAStep, LoweringAllScoresOfARouterIsNoWayOut) {
  ModelConfig c = two_moe_layers();
  c.first_k_dense_replace = 2;
  RandomModel m(c, 3, false, 1.2);
  const TrainingBatch b = make_batch(c, 5);
  const StepRun step = run_step(m, b, balance_alone());
  const auto gate = gradient_of(m, step, "model.layers.2.mlp.gate.weight");
  const auto D = static_cast<size_t>(c.hidden_size);
  double along = 0;
  for (size_t i = 0; i < D; ++i) {
    double sum = 0;
    for (size_t e = 0; e < gate.size() / D; ++e) sum += gate[e * D + i];
    along += sum * sum;
  }
  EXPECT_LT(std::sqrt(along), 1e-5 * norm(gate));

  ThreadPool pool(1);
  for (const float scale : {1e-6f, 1.0f, 50.0f})
    for (const float shift : {-1e4f, 0.0f, 1e4f}) {
      std::vector<float> scores(8), gates(3);
      std::vector<int32_t> experts(3);
      for (size_t e = 0; e < 8; ++e) scores[e] = shift + scale * static_cast<float>(standard_normal(1, 2, e));
      route(pool, c, {scores.data(), 1, 8}, {}, {{experts.data(), 1, 3}, {gates.data(), 1, 3}});
      EXPECT_NEAR(std::accumulate(scores.begin(), scores.end(), 0.0), 1, 4e-7) << scale << ' ' << shift;
    }
}

// Whatever is chosen: P is 1/E for all, and the loads of K choices a token sum to E; so L_exp = a1, L_dev = a2.
TEST(BalanceInAStep, ARouterOfZerosGivesTheCoefficients) {
  const RandomModel m(two_moe_layers(), 3, false, 1.2);
  for (const size_t layer : {size_t{1}, size_t{2}}) {
    const Weight& gate = std::get<MoeWeights>(m.weights.layers[layer].mlp).gate;
    const int64_t at = reinterpret_cast<const float*>(gate.data) - m.parameters().data;
    std::fill_n(m.parameters().data + at, gate.rows * gate.cols, 0.0f);
  }
  const BalanceLosses l = run_step(m, make_batch(m.config, 5), make_options()).report.balance;
  EXPECT_DOUBLE_EQ(l.expert / 4, 0.3);  // two layers, two sequences
  EXPECT_DOUBLE_EQ(l.device / 4, 0.5);
}

// The difference of the whole objective when every choice is made again at both ends: away from ties the choices, and
// with them the loads, stay, and the gradient through P and the gates is all there is.
TEST(BalanceInAStep, AnUnfrozenDifferenceAgreesAwayFromTies) {
  const ModelConfig c = two_moe_layers();
  RandomModel m(c, 3, false, 1.2);
  const TrainingBatch b = make_batch(c, 5);
  const StepOptions o = make_options();
  const StepRun r = run_step(m, b, o);
  const VecView<float> p = m.parameters();
  const Vec at(p.begin(), p.end());
  constexpr double h = 1e-4;
  double slope = 0, size = 0;
  std::array<double, 2> objectives{};
  for (const int side : {0, 1}) {
    Vec moved = at;
    for (size_t i = 0; i < at.size(); ++i) {
      const double d = standard_normal(43, 1, i) / std::sqrt(static_cast<double>(at.size()));
      moved[i] += (side == 0 ? -h : h) * d;
      p[static_cast<int64_t>(i)] = static_cast<float>(moved[i]);
      if (side == 0) slope += d * r.gradients[static_cast<int64_t>(i)];
    }
    objectives[static_cast<size_t>(side)] = ReferenceNetwork(c, m.weights, moved).objective(b, o, choices_of(m, b, o));
  }
  size = norm(r.all()) / std::sqrt(static_cast<double>(at.size()));  // of a slope along a random direction
  EXPECT_NEAR(slope, (objectives[1] - objectives[0]) / (2 * h), 1e-3 * size);
}

}  // namespace
}  // namespace fathom
