#include "train/update.h"

#include <gtest/gtest.h>

#include <optional>
#include <type_traits>

#include "support/random_model.h"

namespace fathom {
namespace {

// A model in training by updates alone: no stream of tokens, no files.
struct Training {
  explicit Training(ThreadPool& threads, const ModelConfig& c = testing::tiny_v2_config(),
                    const UpdateRules& rules = {}, const std::optional<ParameterRange>& range = {})
      : config(c),
        pool(threads),
        parameters(config, MatmulPrecision::bf16),
        optimizer(parameters, range.value_or(parameters.all())),
        network(make_network(config, parameters.weights())),
        update({.pool = pool, .arena = arena, .numerics = Numerics::training(MatmulPrecision::bf16)}, network,
               parameters, optimizer, rules) {
    parameters.initialise(pool, 1, 0.1);
  }

  std::vector<float> weights() const { return {parameters.master().begin(), parameters.master().end()}; }

  ModelConfig config;
  ThreadPool& pool;
  Arena arena;
  Parameters parameters;
  AdamW optimizer;
  Network network;
  Update update;
};

// Networks and updates hold their addresses.
static_assert(!std::is_move_constructible_v<Parameters> && !std::is_move_assignable_v<Parameters>);
static_assert(!std::is_move_constructible_v<Update> && !std::is_move_assignable_v<Update>);

// A question of six tokens without weight and an answer of four with it, as in fine-tuning on answers.
TrainingBatch answer_batch(uint64_t seed) {
  const std::vector<int32_t> ids = testing::random_ids(11, testing::tiny_v2_config().vocab_size, seed);
  TrainingBatch b;
  b.batch.add_whole(std::span(ids).first(10), 0);
  b.targets.assign(ids.begin() + 1, ids.end());
  b.weights = {0, 0, 0, 0, 0, 0, 1, 1, 1, 1};
  b.sequences = {{.first = 0, .n = 10, .id = seed}};
  return b;
}

TEST(Update, LearnsTheAnswersAndNotTheQuestions) {
  ThreadPool pool(1);
  Training t(pool);
  const std::vector<TrainingBatch> micro = {answer_batch(1), answer_batch(2)};
  StepOptions options;
  options.set_means_over(micro);
  const auto mean_losses = [&] {  // of questions and of answers
    std::array<double, 2> sums{};
    for (const TrainingBatch& b : micro) {
      std::vector<double> losses;
      evaluate({.pool = pool, .arena = t.arena}, t.network, b, &losses);
      for (size_t i = 0; i < losses.size(); ++i) sums[i < 6 ? 0 : 1] += losses[i] / (i < 6 ? 12 : 8);
    }
    return sums;
  };
  const auto before = mean_losses();
  for (int64_t i = 1; i <= 30; ++i) {
    for (const TrainingBatch& b : micro) t.update.accumulate(b, options);
    EXPECT_EQ(t.update.report().weight_sum, 8);
    EXPECT_EQ(t.update.report().n_targets, 20);
    if (i == 1) {
      EXPECT_NEAR(t.update.report().loss_sum * options.token_weight, before[1], 0.05);  // bf16 products
    }
    t.update.apply({.rate = 1e-2, .clip = t.update.clip(t.update.gradient_norm()), .t = i});
    EXPECT_EQ(t.update.report().weight_sum, 0);
  }
  const auto after = mean_losses();
  EXPECT_LT(after[1], 0.2 * before[1]);
  EXPECT_GT(after[0], 0.9 * before[0]);
}

TEST(Update, WhatIsDiscardedLeavesNoTrace) {
  ThreadPool pool(1);
  Training with(pool), without(pool);
  with.update.accumulate(answer_batch(3), {});
  with.update.discard();
  EXPECT_EQ(with.update.report().n_targets, 0);
  EXPECT_EQ(with.update.gradient_norm(), 0);
  for (Training* t : {&with, &without}) {
    t->update.accumulate(answer_batch(4), {});
    t->update.apply({.rate = 1e-2});
  }
  EXPECT_TRUE(testing::same_bits(with.weights(), without.weights()));
}

// Two processes that have the same gradients, an optimiser of a range each, and give each other what they updated.
TEST(Update, UpdatesOfTwoRangesAreOneBitForBit) {
  ThreadPool pool(1);
  const ModelConfig c = testing::tiny_v2_config();
  Training whole(pool, c);
  const int64_t n = whole.parameters.all().end, border = 3 * kSquaresPiece;  // inside of a tensor
  Training first(pool, c, {}, ParameterRange{0, border}), second(pool, c, {}, ParameterRange{border, n});
  const auto give = [](const Training& from, Training& to) {
    const auto [begin, end] = from.optimizer.range();
    std::copy_n(from.parameters.master().begin() + begin, end - begin, to.parameters.master().begin() + begin);
    to.parameters.refresh(begin, end);
  };
  for (int64_t t = 1; t <= 3; ++t) {
    for (Training* one : {&whole, &first, &second}) {
      one->update.accumulate(answer_batch(static_cast<uint64_t>(t)), {});
      one->update.apply({.rate = 1e-2, .clip = one->update.clip(one->update.gradient_norm()), .t = t});
      EXPECT_EQ(one->update.gradient_norm(), 0);
    }
    give(first, second);
    give(second, first);
  }
  EXPECT_TRUE(testing::same_bits(first.weights(), whole.weights()));
  EXPECT_TRUE(testing::same_bits(second.weights(), whole.weights()));
}

TEST(Update, FrozenTensorsStayAndTheOthersGoOnAsBefore) {
  ThreadPool pool(1);
  const auto frozen = [](const std::string& name) {
    return name.find("self_attn") != std::string::npos || name == "model.norm.weight" ||
           name == "model.layers.1.mlp.gate.e_score_correction_bias";
  };
  ModelConfig c = testing::tiny_v2_config();
  c.topk_method = TopkMethod::noaux_tc;
  Training some(pool, c, {.bias_update_speed = 0.25}), all(pool, c, {.bias_update_speed = 0.25});
  some.parameters.freeze(frozen);
  const std::vector<float> before = some.weights();
  for (Training* t : {&some, &all}) {
    t->update.accumulate(answer_batch(4), {});
    t->update.apply({.rate = 1e-2});
  }
  const std::vector<float> got = some.weights(), other = all.weights();
  for (const ParameterInfo& p : some.parameters.list()) {
    const auto at = [&](const std::vector<float>& v) {
      return std::span(v).subspan(static_cast<size_t>(p.offset), static_cast<size_t>(p.size));
    };
    EXPECT_EQ(p.frozen, frozen(p.name));
    EXPECT_TRUE(testing::same_bits(at(got), p.frozen ? at(before) : at(other))) << p.name;
    EXPECT_FALSE(testing::same_bits(at(other), at(before))) << p.name;
  }
}

}  // namespace
}  // namespace fathom
