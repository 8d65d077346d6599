#include "model/training/loss.h"

#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/training.h"

namespace fathom {
namespace {

using testing::choices_of;
using testing::expect_gradients;
using testing::make_batch;
using testing::make_options;
using testing::RandomModel;
using testing::ReferenceNetwork;
using testing::run_step;
using testing::StepRun;
using testing::Vec;

constexpr double kTolerance = 1e-4;  // training_step_test.cpp

// 26 rows, two without a target; some weights are 0, some negative.
TrainingBatch weighted_batch(const ModelConfig& c) {
  TrainingBatch b = make_batch(c, 5);
  for (size_t t = 0; t < b.targets.size(); ++t) b.weights.push_back(0.5f * static_cast<float>(t % 5) - 0.5f);
  return b;
}

// Half the squared distance of the logits to numbers that depend on the row.
class SquaredError : public LogitLoss {
 public:
  static float goal(int64_t row, int64_t token) { return 0.1f * static_cast<float>((7 * row + token) % 5); }
  void operator()(ThreadPool& pool, float scale, const LogitRows& rows) const override {
    pool.parallel_for(rows.logits.rows, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const bool counts = rows.batch.targets[static_cast<size_t>(rows.first + i)] >= 0;
        const float slope = counts ? scale * rows.batch.weight(rows.first + i) : 0.0f;
        double sum = 0;
        for (int64_t v = 0; v < rows.logits.cols; ++v) {
          const float d = rows.logits(i, v) - goal(rows.first + i, v);
          sum += 0.5 * double{d} * d;
          rows.logits(i, v) = slope * d;
        }
        rows.losses[static_cast<size_t>(i)] = counts ? sum : 0;
      }
    });
  }
};

double squared_error(size_t row, const Vec& logits) {
  double sum = 0;
  for (size_t v = 0; v < logits.size(); ++v) {
    const double d = logits[v] - SquaredError::goal(static_cast<int64_t>(row), static_cast<int64_t>(v));
    sum += 0.5 * d * d;
  }
  return sum;
}

TEST(Loss, GradientsWithAWeightForEachTokenAreTheDifferencesOfTheReference) {
  for (const ModelConfig& c : {testing::tiny_v2_config(), testing::tiny_llama_config()}) {
    const RandomModel m(c, 3, false, 1.2);
    expect_gradients("weights", m, weighted_batch(c), make_options(), kTolerance);
  }
}

TEST(Loss, AnotherLossThanCrossEntropyHasTheGradientsOfItsFormula) {
  const SquaredError loss;
  StepOptions o = make_options();  // chunks of 10 rows: the loss is told which rows it has
  o.loss = &loss;
  for (const ModelConfig& c : {testing::tiny_v2_config(), testing::tiny_llama_config()}) {
    const RandomModel m(c, 3, false, 1.2);
    expect_gradients("squared error", m, make_batch(c, 5), o, kTolerance, squared_error);
    expect_gradients("weighted squared error", m, weighted_batch(c), o, kTolerance, squared_error);
  }
}

TEST(Loss, WeightsOfOneAreNoWeightsAndAWeightOfZeroIsNoTarget) {
  const RandomModel m(testing::tiny_v2_config(), 3, false, 1.2);
  TrainingBatch plain = make_batch(m.config, 5), ones = plain, zeros = plain;
  ones.weights.assign(26, 1.0f);
  zeros.weights = ones.weights;
  for (const size_t t : {size_t{0}, size_t{7}, size_t{20}}) zeros.weights[t] = 0;
  const StepRun want = run_step(m, plain, make_options()), got = run_step(m, ones, make_options());
  EXPECT_EQ(got.report.loss_sum, want.report.loss_sum);
  EXPECT_EQ(got.report.weight_sum, 24);
  EXPECT_EQ(want.report.weight_sum, 24);
  EXPECT_TRUE(testing::same_bits(got.all(), want.all()));

  for (const size_t t : {size_t{0}, size_t{7}, size_t{20}}) plain.targets[t] = -1;
  const StepRun none = run_step(m, plain, make_options()), zero = run_step(m, zeros, make_options());
  EXPECT_EQ(zero.report.loss_sum, none.report.loss_sum);
  EXPECT_EQ(zero.report.weight_sum, 21);
  EXPECT_EQ(none.report.weight_sum, 21);
  EXPECT_EQ(zero.report.n_targets, 24);
  EXPECT_TRUE(testing::same_bits(zero.all(), none.all()));
}

TEST(Loss, MeansAreOverTheWeightsOfAllMicroBatches) {
  const RandomModel m(testing::tiny_v2_config(), 3, false, 1.2);
  std::vector<TrainingBatch> micro = {weighted_batch(m.config), make_batch(m.config, 6)};
  for (float& w : micro[0].weights) w = std::abs(w);
  micro[0].sequences.pop_back();
  double weights = 24;
  for (size_t t = 0; t < 26; ++t)
    if (micro[0].targets[t] >= 0) weights += micro[0].weights[t];
  StepOptions o;
  o.set_means_over(micro);
  EXPECT_DOUBLE_EQ(o.token_weight, 1 / weights);
  EXPECT_DOUBLE_EQ(o.sequence_weight, 1.0 / 3);
  for (int32_t& t : micro[1].targets) t = -1;
  o.set_means_over(std::span(micro).subspan(1));
  EXPECT_EQ(o.token_weight, 1);  // nothing to divide
}

TEST(Loss, NoMeanIsTakenOverWeightsWithSignsOrWithoutASize) {
  const RandomModel m(testing::tiny_v2_config(), 3, false, 1.2);
  for (const float weight : {-0.5f, -1e-30f, NAN, INFINITY, -INFINITY}) {
    std::vector<TrainingBatch> micro = {make_batch(m.config, 5), make_batch(m.config, 6)};
    micro[1].weights.assign(26, 1.0f);
    micro[1].weights[3] = weight;
    StepOptions o;
    EXPECT_TRUE(test::says(test::error_of([&] { o.set_means_over(micro); }, ErrorKind::bad_input),
                           {"row 3 ", fmt::format("the weight {};", weight), "set StepOptions::token_weight"}));
    EXPECT_EQ(o.token_weight, 1);
    micro[1].targets[3] = -1;  // a weight that nobody reads
    o.set_means_over(micro);
    EXPECT_DOUBLE_EQ(o.token_weight, 1.0 / 47);
  }
}

TEST(Loss, EvaluationHasTheLossesOfTrainingWeightedOnlyInTheirSum) {
  const RandomModel m(testing::tiny_v2_config(), 3, false, 1.2);
  const TrainingBatch b = weighted_batch(m.config);
  const SquaredError squares;
  ThreadPool pool(2);
  Arena arena;
  for (const LogitLoss* loss : {&cross_entropy(), static_cast<const LogitLoss*>(&squares)}) {
    StepOptions o = make_options();
    o.loss = loss;
    std::vector<double> losses;
    const StepReport report = evaluate({.pool = pool, .arena = arena}, m.network, b, &losses, *loss);
    double sum = 0;
    for (size_t t = 0; t < losses.size(); ++t) sum += double{b.weights[t]} * losses[t];
    EXPECT_DOUBLE_EQ(report.loss_sum, sum);
    EXPECT_EQ(report.loss_sum, run_step(m, b, o).report.loss_sum);
    EXPECT_GT(losses[1], 0);  // of weight 0
    EXPECT_EQ(losses[6], 0);  // without a target
  }
}

// loss.h: a loss of whole sequences is cross-entropy with weights. Here that of a preference for the first of two,
//     -log sigmoid(beta (log p(first) - log p(second)))      (arXiv:2305.18290 with a reference that knows nothing)
TEST(Loss, APreferenceIsCrossEntropyWithTheWeightsOfItsSlope) {
  const RandomModel m(testing::tiny_llama_config(), 3, false, 1.2);
  TrainingBatch b = make_batch(m.config, 5);
  StepOptions sums = make_options();
  sums.token_weight = 1;
  constexpr double kBeta = 0.05;
  const auto side = [](size_t t) { return t < 13 ? 1.0 : -1.0; };

  ThreadPool pool(1);
  Arena arena;
  std::vector<double> losses;
  evaluate({.pool = pool, .arena = arena}, m.network, b, &losses);
  double margin = 0;
  for (size_t t = 0; t < losses.size(); ++t) margin -= side(t) * losses[t];
  const double slope = kBeta / (1 + std::exp(kBeta * margin));  // of the loss, for a row's -log p
  for (size_t t = 0; t < losses.size(); ++t) b.weights.push_back(static_cast<float>(side(t) * slope));
  const StepRun fast = run_step(m, b, sums);

  TrainingBatch signs = b;
  for (size_t t = 0; t < losses.size(); ++t) signs.weights[t] = static_cast<float>(side(t));
  const VecView<float> p = m.parameters();
  Vec at(p.begin(), p.end());
  const auto preference = [&](double h) {
    Vec moved = at;
    for (size_t i = 0; i < moved.size(); ++i)
      moved[i] += h * standard_normal(42, 1, i) / std::sqrt(static_cast<double>(moved.size()));
    const double loss = ReferenceNetwork(m.config, m.weights, moved).objective(signs, sums, {});
    return std::log(1 + std::exp(kBeta * loss));
  };
  double along = 0, norm = 0;
  for (size_t i = 0; i < at.size(); ++i) {
    const double g = fast.gradients[static_cast<int64_t>(i)];
    along += g * standard_normal(42, 1, i) / std::sqrt(static_cast<double>(at.size()));
    norm += g * g;
  }
  EXPECT_NEAR(along, (preference(1e-5) - preference(-1e-5)) / 2e-5, kTolerance * std::sqrt(norm));
}

}  // namespace
}  // namespace fathom
