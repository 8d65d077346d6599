// A whole network over packed weights: near what the same stored weights give exactly, and the same bits whatever
// runs beside it.
#include "packing/packed_weights.h"

#include <gtest/gtest.h>

#include "support/random_model.h"

namespace fathom {
namespace {

using testing::RandomModel;
using testing::Runner;

// Widths of whole blocks; experts' rows are no multiple of a strip for the dense layer (width 80 = 2.5 blocks).
ModelConfig block_config(bool tied) {
  ModelConfig c = testing::tiny_v2_config();
  c.hidden_size = 256;
  c.intermediate_size = 80;
  c.moe_intermediate_size = 64;
  c.q_lora_rank = 64;
  c.kv_lora_rank = 96;
  c.tie_word_embeddings = tied;
  return c;
}

// Every expert is chosen: no small difference sends a token elsewhere.
ModelConfig smooth_config(bool tied) {
  ModelConfig c = block_config(tied);
  c.n_routed_experts = c.num_experts_per_tok = 4;
  c.topk_method = TopkMethod::greedy;
  c.n_group = c.topk_group = 1;
  c.routed_scaling_factor = 1;
  return c;
}

struct Quantised {
  explicit Quantised(DType type, const ModelConfig& c = block_config(false)) : model(c, 3, false, 1.0) {
    model.quantise(type);
    ThreadPool pool(2);
    packed = PackedWeights(pool, model.config, model.weights);
  }
  RandomModel model;
  PackedWeights packed;
};

std::vector<float> logits(const RandomModel& m, Numerics numerics, int threads, std::span<const int32_t> ids,
                          size_t chunk, MlaForm form = MlaForm::automatic) {
  Runner runner(m, threads);
  runner.numerics = numerics;
  runner.form = form;
  return runner.forward_chunks(ids, chunk);
}

TEST(PackedWeights, LogitsAreNearTheExactOnes) {
  for (const DType type : {DType::q8_0, DType::q4_0, DType::q5_1}) {
    const Quantised q(type, smooth_config(type == DType::q8_0));
    const std::vector<int32_t> ids = testing::random_ids(90, q.model.config.vocab_size, 5);
    const std::vector<float> exact = logits(q.model, Numerics::exact(), 2, ids, 90);
    const std::vector<float> fast = logits(q.model, Numerics::quantised(), 2, ids, 90);
    const double difference = testing::largest_difference(fast, exact);
    EXPECT_LE(difference, 0.05 * testing::largest_magnitude(exact)) << name(type);
    EXPECT_GT(difference, 0) << "nothing was rounded: the packed weights were not used";
  }
}

// Float32 sums in another order; but for the router's, and attention in whole numbers, which rounds more.
TEST(PackedWeights, OfFloatsRoundNoActivations) {
  for (const DType type : {DType::f16, DType::f32}) {
    const Quantised q(type, smooth_config(false));
    EXPECT_NE(std::get<MoeWeights>(q.model.weights.layers.back().mlp).experts[0].gate_proj.packed, nullptr);
    EXPECT_EQ(std::get<MoeWeights>(q.model.weights.layers.back().mlp).gate.packed, nullptr);
    const std::vector<int32_t> ids = testing::random_ids(90, q.model.config.vocab_size, 5);
    const std::vector<float> exact = logits(q.model, Numerics::exact(), 2, ids, 90);
    const std::vector<float> fast = logits(q.model, Numerics::quantised(), 2, ids, 90);
    EXPECT_LE(testing::largest_difference(fast, exact), 2e-3 * testing::largest_magnitude(exact)) << name(type);
    EXPECT_EQ(logits(q.model, Numerics::quantised(), 3, ids, 7, MlaForm::absorbed),
              logits(q.model, Numerics::quantised(), 1, ids, 90, MlaForm::absorbed));
  }
}

TEST(PackedWeights, SameBitsForAnyThreadsAndChunks) {
  const Quantised q(DType::q4_0);
  const std::vector<int32_t> ids = testing::random_ids(70, q.model.config.vocab_size, 6);
  const auto run = [&](int threads, size_t chunk) {
    return logits(q.model, Numerics::quantised(), threads, ids, chunk, MlaForm::absorbed);
  };
  const std::vector<float> want = run(1, 70);
  EXPECT_EQ(run(3, 70), want);
  EXPECT_EQ(run(2, 1), want);
  EXPECT_EQ(run(2, 13), want);
}

TEST(PackedWeights, WithoutSharedExpertsToo) {
  ModelConfig c = smooth_config(false);
  c.n_shared_experts = 0;
  const Quantised q(DType::q4_0, c);
  const std::vector<int32_t> ids = testing::random_ids(70, c.vocab_size, 9);
  const std::vector<float> exact = logits(q.model, Numerics::exact(), 2, ids, 70);
  const std::vector<float> fast = logits(q.model, Numerics::quantised(), 2, ids, 70, MlaForm::absorbed);
  EXPECT_LE(testing::largest_difference(fast, exact), 0.05 * testing::largest_magnitude(exact));
  EXPECT_EQ(logits(q.model, Numerics::quantised(), 3, ids, 1, MlaForm::absorbed), fast);
}

TEST(PackedWeights, SameBitsForAnyNeighbours) {
  const Quantised q(DType::q4_k);
  const std::vector<int32_t> a = testing::random_ids(9, q.model.config.vocab_size, 7),
                             b = testing::random_ids(30, q.model.config.vocab_size, 8);
  Runner runner(q.model, 2);
  runner.numerics = Numerics::quantised();
  SequenceCache one, two, alone;
  Batch both, single;
  both.add(runner.cache, two, b, Batch::Logits::none);
  both.add(runner.cache, one, a, Batch::Logits::last);
  single.add(runner.cache, alone, a, Batch::Logits::last);
  EXPECT_EQ(runner.forward(both), runner.forward(single));
}

TEST(PackedWeights, BytesAreThoseOfTheStoredMatrices) {
  Quantised q(DType::q4_0);
  int64_t stored = 0;
  for_each_tensor(q.model.weights, q.model.config, [&](const std::string& name, Weight& w, const Shape& shape) {
    const bool multiplied = shape.size() == 2 && w.dtype == DType::q4_0 && name != "model.embed_tokens.weight";
    EXPECT_EQ(w.packed != nullptr, multiplied) << name;
    if (multiplied) stored += w.rows * w.bytes_per_row();
  });
  const int64_t packed = PackedWeights::bytes(q.model.config, q.model.weights);
  EXPECT_GE(packed, stored);
  EXPECT_LE(packed, stored + stored / 8);  // the last strip of a matrix is whole
}

}  // namespace
}  // namespace fathom
