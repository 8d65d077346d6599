#include "model/training/training_step.h"

#include <gtest/gtest.h>

#include "support/training.h"

namespace fathom {
namespace {

using testing::add_step;
using testing::choices_of;
using testing::expect_gradients;
using testing::gradient_of;
using testing::make_batch;
using testing::make_options;
using testing::RandomModel;
using testing::ReferenceNetwork;
using testing::run_step;
using testing::StepRun;
using testing::Vec;

ModelConfig moe_16b_like() {
  ModelConfig c = testing::tiny_llama_config();
  c.family = Family::deepseek;
  c.num_key_value_heads = c.num_attention_heads;
  c.n_routed_experts = 8;
  c.num_experts_per_tok = 2;
  c.n_shared_experts = 1;
  c.moe_intermediate_size = 12;
  c.first_k_dense_replace = 1;
  return c;
}

std::vector<std::pair<std::string, ModelConfig>> variants() {
  ModelConfig v2 = testing::tiny_v2_config(), lite = v2, normed = v2, no_shared = v2,
              tied = testing::tiny_llama_config(), odd = v2, biased = v2;
  lite.q_lora_rank.reset();
  lite.topk_method = TopkMethod::greedy;
  lite.n_group = lite.topk_group = 1;
  lite.rope_scaling.reset();
  normed.norm_topk_prob = true;
  normed.rope_scaling->mscale_all_dim = 0;  // cos and sin with an amplitude
  no_shared.n_shared_experts = 0;
  biased.topk_method = TopkMethod::noaux_tc;  // the bias has no gradient, and changes none but by the choice
  tied.tie_word_embeddings = true;
  odd.num_attention_heads = odd.num_key_value_heads = 1;
  odd.kv_lora_rank = 7;
  odd.qk_nope_head_dim = 5;
  odd.qk_rope_head_dim = 2;
  odd.v_head_dim = 3;
  odd.q_lora_rank = 11;
  odd.moe_intermediate_size = 5;
  return {{"v2", v2},
          {"lite", lite},
          {"norm_topk_prob", normed},
          {"no_shared", no_shared},
          {"biased", biased},
          {"llama_gqa", testing::tiny_llama_config()},
          {"tied", tied},
          {"moe_16b", moe_16b_like()},
          {"odd", odd}};
}

// Float32 through three layers, with norms over as few as seven numbers, measured at 3.3e-5 for the smallest shape and
// below 1e-5 for the others.
constexpr double kTolerance = 1e-4;

TEST(TrainingStep, GradientsOfEveryTensorAreTheDifferencesOfTheReferenceInDouble) {
  for (const auto& [name, c] : variants()) {
    const RandomModel m(c, 3, false, 1.2);
    expect_gradients(name, m, make_batch(c, 5), make_options(), kTolerance);
  }
}

TEST(TrainingStep, DroppedPairsHaveNoPartInOutputOrGradient) {
  const RandomModel m(testing::tiny_v2_config(), 3, false, 1.2);
  StepOptions o = make_options();
  o.balance.capacity_factor = 0.6;
  o.balance.exempt_fraction = 0.5;
  const TrainingBatch b = make_batch(m.config, 5);
  EXPECT_GT(run_step(m, b, o).report.n_dropped, 10);
  expect_gradients("dropping", m, b, o, kTolerance);
}

TEST(TrainingStep, TheLossIsThatOfTheReference) {
  for (const auto& [name, c] : variants()) {
    const RandomModel m(c, 3, false, 1.2);
    const TrainingBatch b = make_batch(c, 5);
    const StepOptions o = make_options();
    const StepRun r = run_step(m, b, o);
    const VecView<float> p = m.parameters();
    const double want = ReferenceNetwork(c, m.weights, Vec(p.begin(), p.end())).objective(b, o, choices_of(m, b, o));
    EXPECT_NEAR(o.token_weight * r.report.loss_sum + o.sequence_weight * r.report.balance.total(), want, 1e-5 * want)
        << name;
    EXPECT_EQ(r.report.n_targets, 24);
  }
}

TEST(TrainingStep, ThreadsAndRecomputingChangeNoBit) {
  for (const MatmulPrecision products : {MatmulPrecision::f32, MatmulPrecision::bf16}) {
    for (const auto& [name, c] : variants()) {
      const RandomModel m(c, 3, false, 1.2);
      const TrainingBatch b = make_batch(c, 5);
      StepOptions o = make_options();
      o.balance.capacity_factor = 0.8;
      const StepRun want = run_step(m, b, o, 1, products);
      for (const int threads : {1, 2, 3}) {
        for (const Recompute recompute : {Recompute::none, Recompute::layers}) {
          o.recompute = recompute;
          const StepRun got = run_step(m, b, o, threads, products);
          EXPECT_EQ(got.report.loss_sum, want.report.loss_sum);
          EXPECT_TRUE(testing::same_bits(got.all(), want.all())) << name << ", " << threads << " threads";
        }
      }
    }
  }
}

double relative_distance(std::span<const float> a, std::span<const float> b) {
  double difference = 0, norm = 1e-30;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
    norm += double{b[i]} * b[i];
  }
  return std::sqrt(difference / norm);
}

// Rows [first, first + n) of a batch as one training sequence.
TrainingBatch rows_of(const TrainingBatch& whole, int64_t first_row, int64_t n_rows, uint64_t id) {
  TrainingBatch one;
  const auto first = static_cast<size_t>(first_row), n = static_cast<size_t>(n_rows);
  one.batch.add_whole(std::span(whole.batch.tokens).subspan(first, n), whole.batch.positions[first]);
  one.targets = {whole.targets.begin() + first_row, whole.targets.begin() + first_row + n_rows};
  one.sequences = {{.first = 0, .n = n_rows, .id = id}};
  return one;
}

// A tied embedding is also the head: what the two add to its gradient is then summed in another order.
TEST(TrainingStep, DocumentsInOnePackAreSeparateRuns) {
  for (const auto& [name, c] : variants()) {
    const RandomModel m(c, 3, false, 1.2);
    const TrainingBatch packed = make_batch(c, 5);
    StepOptions o = make_options();
    o.balance = {};  // a loss of the whole training sequence, not of a document
    const StepRun together = run_step(m, packed, o);
    StepRun apart{{}, Buffer<float>(m.parameters().size)};
    for (const BatchSequence& s : packed.batch.sequences) add_step(m, rows_of(packed, s.first_row, s.n, 1), o, apart);
    EXPECT_NEAR(apart.report.loss_sum, together.report.loss_sum, 1e-12 * together.report.loss_sum) << name;
    EXPECT_TRUE(c.tie_word_embeddings || testing::same_bits(apart.all(), together.all())) << name;
    EXPECT_LE(relative_distance(apart.all(), together.all()), 1e-6) << name;
  }
}

// Eight sequences in one micro-batch, or in eight that add up.
struct Micro {
  explicit Micro(const RandomModel& model, int64_t length) : m(model) {
    const int64_t V = m.config.vocab_size;
    whole.targets = testing::random_ids(8 * length, V, 2);
    whole.targets[3] = -1;
    for (int64_t i = 0; i < 8; ++i) {
      whole.sequences.push_back({.first = whole.batch.rows(), .n = length, .id = static_cast<uint64_t>(i)});
      whole.batch.add_whole(testing::random_ids(length, V, 10 + static_cast<uint64_t>(i)), 0);
    }
    options = make_options();
    options.token_weight = 1.0 / static_cast<double>(8 * length - 1);
    options.sequence_weight = 1.0 / 8;
    options.loss_chunk = kRowBlock;
  }
  StepRun together(MatmulPrecision p) const { return run_step(m, whole, options, 1, p); }
  StepRun apart(MatmulPrecision p) const {
    StepRun sum{{}, Buffer<float>(m.parameters().size)};
    for (const SequenceRows& s : whole.sequences) add_step(m, rows_of(whole, s.first, s.n, s.id), options, sum, 1, p);
    return sum;
  }

  const RandomModel& m;
  TrainingBatch whole;
  StepOptions options;
};

// kernels/matmul/training_matmul.h: with bfloat16 products a micro-batch must end at a multiple of kRowBlock rows.
// Experts then still see other groups of rows, so there the order of a sum differs.
TEST(TrainingStep, EightMicroBatchesAddUpToOneBitForBitExceptForExpertsInBfloat) {
  for (const auto& variant : variants()) {
    const std::string& name = variant.first;
    const ModelConfig& c = variant.second;
    const RandomModel m(c, 3, false, 1.2);
    for (const MatmulPrecision products : {MatmulPrecision::f32, MatmulPrecision::bf16}) {
      const Micro micro(m, products == MatmulPrecision::f32 ? 13 : kRowBlock);
      const StepRun one = micro.together(products), eight = micro.apart(products);
      EXPECT_NEAR(one.report.loss_sum, eight.report.loss_sum, 1e-12 * one.report.loss_sum) << name;
      ModelWeights tree = m.weights;
      for_each_tensor(tree, c, [&](const std::string& tensor, Weight&, const Shape&) {
        const auto a = gradient_of(m, one, tensor), b = gradient_of(m, eight, tensor);
        const bool other_order = products == MatmulPrecision::bf16 && tensor.find(".experts.") != std::string::npos;
        const bool tied = c.tie_word_embeddings && tensor == "model.embed_tokens.weight";
        EXPECT_TRUE(other_order || tied || testing::same_bits(a, b)) << name << ": " << tensor;
        EXPECT_LE(relative_distance(a, b), 1e-6) << name << ": " << tensor;
      });
    }
  }
}

TEST(TrainingStep, ProductsInBfloatStayNear) {
  for (auto [name, c] : variants()) {
    c.first_k_dense_replace = c.num_hidden_layers;  // no experts: a flipped choice is more than rounding
    const RandomModel m(c, 3, false, 1.2);
    const TrainingBatch b = make_batch(c, 5);
    const StepRun exact = run_step(m, b, make_options()),
                  rounded = run_step(m, b, make_options(), 1, MatmulPrecision::bf16);
    double inner = 0, a2 = 0, b2 = 0;
    for (int64_t i = 0; i < exact.gradients.size(); ++i) {
      inner += double{exact.gradients[i]} * rounded.gradients[i];
      a2 += double{exact.gradients[i]} * exact.gradients[i];
      b2 += double{rounded.gradients[i]} * rounded.gradients[i];
    }
    EXPECT_GT(inner / std::sqrt(a2 * b2), 0.98)
        << name;  // 0.991 for the shape with seven latents, above 0.999 for the others
  }
}

}  // namespace
}  // namespace fathom
