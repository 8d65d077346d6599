#include "model/training_step.h"

#include <gtest/gtest.h>

#include "model/balance.h"
#include "model/gqa.h"
#include "model/mlp.h"
#include "support/random_model.h"
#include "support/reference_network.h"

namespace fathom {
namespace {

using testing::RandomModel;
using testing::ReferenceNetwork;
using testing::Vec;

// Two training sequences, the first of two documents; some rows have no target.
TrainingBatch make_batch(const ModelConfig& c, uint64_t seed) {
  TrainingBatch b;
  for (const int64_t n : {7, 6, 13})
    b.batch.add_whole(testing::random_ids(n, c.vocab_size, seed + static_cast<uint64_t>(n)), n == 6 ? 7 : 0);
  b.targets = testing::random_ids(26, c.vocab_size, seed + 99);
  b.targets[6] = b.targets[25] = -1;
  b.sequences = {{.first = 0, .n = 13, .id = 11}, {.first = 13, .n = 13, .id = 12}};
  return b;
}

StepOptions make_options() {
  StepOptions o;
  o.balance = {.expert_alpha = 0.3, .device_alpha = 0.5, .communication_alpha = 0.2, .n_devices = 4, .max_devices = 2};
  o.token_weight = 1.0 / 24;
  o.sequence_weight = 0.5;
  o.loss_chunk = 10;
  return o;
}

struct StepRun {
  StepReport report;
  Buffer<float> gradients;
};

StepRun run_step(const RandomModel& m, const TrainingBatch& b, const StepOptions& o, int threads = 1,
                 Products products = Products::f32) {
  StepRun r{{}, Buffer<float>(m.parameters().size)};
  ThreadPool pool(threads);
  Arena arena;
  Context ctx{pool, arena, Activations::f32, products};
  r.report = forward_and_backward(ctx, m.network, b, o, Gradients(m.parameters().data, nullptr, r.gradients.vec()));
  return r;
}

// The fast network's choices, read by running its layers with room to save.
std::vector<ReferenceNetwork::Choice> choices_of(const RandomModel& m, const TrainingBatch& b, const StepOptions& o) {
  std::vector<ReferenceNetwork::Choice> all;
  ThreadPool pool(1);
  Arena arena;
  Context ctx{pool, arena};
  const RotaryRows rotary = rotary_rows(ctx, m.network, b.batch);
  const int64_t T = b.batch.rows(), D = m.config.hidden_size;
  auto x = scratch(ctx, T, D);
  for (int64_t t = 0; t < T; ++t)
    std::copy_n(reinterpret_cast<const float*>(m.weights.embed_tokens.row(b.batch.tokens[static_cast<size_t>(t)])), D,
                x.row(t));
  const MoeTraining training{&o.balance, b.sequences, 0};
  for (int64_t i = 0; i < m.config.num_hidden_layers; ++i) {
    LayerSaved s;
    s.x_mid = scratch(ctx, T, D);
    s.attention = m.config.uses_mla() ? plan_mla(ctx, m.config, T) : plan_gqa(ctx, m.config, T);
    if (m.config.layer_is_moe(i)) {
      plan_routing(ctx, m.config, T, s.moe);
      plan_moe(ctx, m.config, T, s.moe);
    } else {
      s.mlp = plan_mlp(ctx, T, m.config.intermediate_size);
    }
    layer_forward(ctx, m.network, i, b.batch, rotary, nullptr, x, &s, &training, false);
    if (!m.config.layer_is_moe(i)) continue;
    ReferenceNetwork::Choice c;
    for (int64_t t = 0; t < T; ++t)
      for (int64_t k = 0; k < m.config.num_experts_per_tok; ++k) {
        c.experts.push_back(s.moe.routing.experts(t, k));
        c.kept.push_back(s.moe.dispatch.row[static_cast<size_t>(t * m.config.num_experts_per_tok + k)] >= 0);
      }
    all.push_back(c);
  }
  return all;
}

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
              tied = testing::tiny_llama_config(), odd = v2;
  lite.q_lora_rank.reset();
  lite.topk_method = TopkMethod::greedy;
  lite.n_group = lite.topk_group = 1;
  lite.rope_scaling.reset();
  normed.norm_topk_prob = true;
  normed.rope_scaling->mscale_all_dim = 0;  // cos and sin with an amplitude
  no_shared.n_shared_experts = 0;
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
          {"llama_gqa", testing::tiny_llama_config()},
          {"tied", tied},
          {"moe_16b", moe_16b_like()},
          {"odd", odd}};
}

// The gradient of every tensor along a random direction, against the central difference of the reference objective in
// double. The difference is exact to about 1e-8 of the objective's curvature; the gradient is float32, summed over a
// few hundred terms. Relative to the norms of gradient and direction.
void expect_gradients(const std::string& name, const RandomModel& m, const TrainingBatch& b, const StepOptions& o,
                      double tolerance) {
  const StepRun fast = run_step(m, b, o);
  const auto choices = choices_of(m, b, o);
  const VecView<float> p = m.parameters();
  const Vec at(p.begin(), p.end());
  double whole = 0;
  for (float g : fast.gradients.vec()) whole += double{g} * g;
  ModelWeights tree = m.weights;
  size_t offset = 0;
  for_each_tensor(tree, m.config, [&](const std::string& tensor, Weight& w, const Shape&) {
    const auto n = static_cast<size_t>(w.rows * w.cols);
    double slope = 0, norm = 0;
    Vec plus = at, minus = at;
    constexpr double h = 1e-5;
    for (size_t i = 0; i < n; ++i) {
      const double d = standard_normal(42, offset, i) / std::sqrt(static_cast<double>(n)),
                   g = fast.gradients[static_cast<int64_t>(offset + i)];
      plus[offset + i] += h * d;
      minus[offset + i] -= h * d;
      slope += g * d;
      norm += g * g;
    }
    const double want = (ReferenceNetwork(m.config, tree, plus).objective(b, o, choices) -
                         ReferenceNetwork(m.config, tree, minus).objective(b, o, choices)) /
                        (2 * h);
    // An expert that nobody chose has no gradient at all.
    EXPECT_NEAR(slope, want, tolerance * (std::sqrt(norm) + 1e-3 * std::sqrt(whole))) << name << ": " << tensor;
    offset += n;
  });
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
  for (const Products products : {Products::f32, Products::bf16}) {
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
          EXPECT_TRUE(testing::same_bits({got.gradients.data(), static_cast<size_t>(got.gradients.size())},
                                         {want.gradients.data(), static_cast<size_t>(want.gradients.size())}))
              << name << ", " << threads << " threads";
        }
      }
    }
  }
}

TEST(TrainingStep, DocumentsInOnePackAreSeparateRuns) {
  const RandomModel m(testing::tiny_llama_config(),
                      3);  // dense: experts would see other neighbours' rows, in the same order but other tiles
  TrainingBatch packed = make_batch(m.config, 5);
  const StepOptions o = make_options();
  const StepRun together = run_step(m, packed, o);
  Buffer<float> summed(m.parameters().size);
  double loss = 0;
  for (const BatchSequence& s : packed.batch.sequences) {
    TrainingBatch one;
    const auto first = static_cast<size_t>(s.first_row), n = static_cast<size_t>(s.n);
    one.batch.add_whole(std::span(packed.batch.tokens).subspan(first, n), packed.batch.positions[first]);
    one.targets = {packed.targets.begin() + s.first_row, packed.targets.begin() + s.first_row + s.n};
    one.sequences = {{.first = 0, .n = s.n, .id = 1}};
    const StepRun alone = run_step(m, one, o);
    loss += alone.report.loss_sum;
    for (int64_t i = 0; i < summed.size(); ++i) summed[i] += alone.gradients[i];
  }
  EXPECT_NEAR(loss, together.report.loss_sum, 1e-5 * loss);
  const std::span<const float> want(together.gradients.data(), static_cast<size_t>(summed.size()));
  EXPECT_LE(testing::largest_difference({summed.data(), want.size()}, want), 1e-5f * testing::largest_magnitude(want));
}

TEST(TrainingStep, ProductsInBfloatStayNear) {
  for (auto [name, c] : variants()) {
    c.first_k_dense_replace = c.num_hidden_layers;  // no experts: a flipped choice is more than rounding
    const RandomModel m(c, 3, false, 1.2);
    const TrainingBatch b = make_batch(c, 5);
    const StepRun exact = run_step(m, b, make_options()), rounded = run_step(m, b, make_options(), 1, Products::bf16);
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

// ---- balance losses ----

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

}  // namespace
}  // namespace fathom
