// Counts against numbers worked by hand for DeepSeek-V2-Lite.
#include "measure/cost.h"

#include <gtest/gtest.h>

#include "support/published_configs.h"

namespace fathom {
namespace {

constexpr double kNorms = 27 * (2 * 2048 + 512) + 2048, kHead = 102400.0 * 2048;

// Shapes and types without bytes: matrices of `matrix`, norms f32.
ModelWeights described(const ModelConfig& config, DType matrix) {
  ModelWeights weights = empty_weights(config);
  for_each_tensor(weights, config, [&](const std::string&, Weight& w, const Shape& shape) {
    w.dtype = shape.size() == 1 ? DType::f32 : matrix;
    w.rows = shape.size() == 1 ? 1 : shape[0];
    w.cols = shape.back();
  });
  return weights;
}

struct Lite {
  explicit Lite(DType matrix, CacheType cache = CacheType::bf16)
      : weights(described(config, matrix)),
        cost(config, weights, {.layers = 27, .width = 576, .tail = 64, .type = cache}) {}
  ModelConfig config = config_from_json(test::kV2Lite, "config.json");
  ModelWeights weights;
  CostModel cost;
};

TEST(Cost, ParametersOfAToken) {
  const ActiveParameters a = Lite(DType::q4_0).cost.active();
  EXPECT_DOUBLE_EQ(a.attention, 27.0 * (16 * 192 * 2048 + 576 * 2048 + 16 * 256 * 512 + 2048 * 2048));
  EXPECT_DOUBLE_EQ(a.dense, 3.0 * 2048 * 10944);
  EXPECT_DOUBLE_EQ(a.router, 26.0 * 64 * 2048);
  EXPECT_DOUBLE_EQ(a.routed, 26.0 * 6 * 3 * 2048 * 1408);
  EXPECT_DOUBLE_EQ(a.shared, 26.0 * 3 * 2048 * 2816);
  EXPECT_DOUBLE_EQ(a.head, kHead);
  EXPECT_DOUBLE_EQ(a.norms, kNorms);
  EXPECT_DOUBLE_EQ(a.total(), 2'451'308'544.0 + kNorms);  // 2451.3 M and the norms
}

TEST(Cost, BytesOfADecodedToken) {
  const Cost q4 = Lite(DType::q4_0).cost.step(1, 0, 1);
  EXPECT_DOUBLE_EQ(q4.weight_bytes, 2'451'308'544.0 * 18 / 32 + kNorms * 4 + 2048 * 18 / 32);  // 1.379 GB
  EXPECT_DOUBLE_EQ(Lite(DType::q8_0).cost.step(1, 0, 1).weight_bytes,
                   2'451'308'544.0 * 34 / 32 + kNorms * 4 + 2048 * 34 / 32);  // 2.605 GB
  EXPECT_DOUBLE_EQ(q4.cache_bytes, 31'104);                                   // 576 numbers of 2 bytes in 27 layers
  EXPECT_DOUBLE_EQ(Lite(DType::q4_0).cost.step(1, 4095, 1).cache_bytes, 4096 * 31'104.0);
  EXPECT_DOUBLE_EQ(Lite(DType::q4_0, CacheType::f32).cost.step(8, 99, 1).cache_bytes, 8 * 100 * 62'208.0);
}

TEST(Cost, PartsOfADecodedToken) {
  const Lite lite(DType::q4_0);
  const PartCosts parts = lite.cost.step_parts(1, 0, 1);
  const auto at = [&](Part part) { return parts[static_cast<size_t>(part)]; };
  const double projections = 27.0 * (16 * 192 * 2048 + 576 * 2048 + 2048 * 2048), latent = 27.0 * 16 * 256 * 512,
               experts = 26.0 * 8 * 3 * 2048 * 1408, dense = 3.0 * 2048 * 10944;
  EXPECT_DOUBLE_EQ(at(Part::projections).weight_bytes, projections * 18 / 32);
  EXPECT_DOUBLE_EQ(at(Part::projections).flops, 2 * projections);
  EXPECT_DOUBLE_EQ(at(Part::attention).weight_bytes, latent * 18 / 32);
  EXPECT_DOUBLE_EQ(at(Part::attention).cache_bytes, 31'104);
  EXPECT_DOUBLE_EQ(at(Part::attention).flops, 2 * (latent + 27 * 16 * (192 + 128)));
  EXPECT_DOUBLE_EQ(at(Part::routing).flops, 2 * 26.0 * 64 * 2048);
  EXPECT_DOUBLE_EQ(at(Part::experts).weight_bytes, experts * 18 / 32);
  EXPECT_DOUBLE_EQ(at(Part::experts).flops, 2 * experts);
  EXPECT_DOUBLE_EQ(at(Part::dense).flops, 2 * dense);
  EXPECT_DOUBLE_EQ(at(Part::head).weight_bytes, kHead * 18 / 32);
  EXPECT_DOUBLE_EQ(at(Part::rest).weight_bytes, kNorms * 4 + 2048 * 18 / 32);
  EXPECT_DOUBLE_EQ(sum_of(parts).flops, lite.cost.step(1, 0, 1).flops);
}

TEST(Cost, WorkOfADecodedToken) {
  const CostModel cost = Lite(DType::q4_0).cost;
  EXPECT_DOUBLE_EQ(cost.step(1, 0, 1).flops, 2 * (2'451'308'544.0 + 27 * 16 * (192 + 128)));  // naive, no past
  EXPECT_DOUBLE_EQ(cost.step(1, 16384, 1).flops, 2 * (2'451'308'544.0 + 470'016.0 * 16385));  // absorbed
}

TEST(Cost, DistinctExpertsOfABatch) {
  EXPECT_DOUBLE_EQ(expected_distinct_experts(64, 6, 1), 6);
  EXPECT_NEAR(expected_distinct_experts(64, 6, 8), 34.9, 0.05);
  EXPECT_NEAR(expected_distinct_experts(64, 6, 32), 61.3, 0.05);
  EXPECT_NEAR(expected_distinct_experts(160, 6, 8), 42.2, 0.05);
  EXPECT_DOUBLE_EQ(expected_distinct_experts(0, 0, 8), 0);
  const CostModel cost = Lite(DType::q4_0).cost;
  EXPECT_NEAR(cost.step(8, 0, 1).weight_bytes / 1e9, 5.03, 0.01);
  EXPECT_NEAR(cost.step(32, 0, 1).weight_bytes / 1e9, 8.37, 0.02);
  EXPECT_NEAR(cost.total_bytes() / 1e9, 15.7065 * 18 / 32, 0.001);
}

TEST(Cost, Prefill) {
  const CostModel cost = Lite(DType::q4_0).cost;
  const double linear = 2'451'308'544.0 - kHead, pairs = 512.0 * 513 / 2;
  const Cost at_0 = cost.work({WorkKind::prefill, 512, 0, 1}, 512);
  EXPECT_DOUBLE_EQ(at_0.flops, 2 * (512 * linear + kHead + 27 * 16 * (192 + 128) * pairs));
  // After 8192 tokens expanding them once costs less than folding 2048 queries.
  const Cost at_8k = cost.work({WorkKind::prefill, 2048, 8192, 1}, 512);
  EXPECT_DOUBLE_EQ(at_8k.flops, 2 * (2048 * linear + kHead + 27.0 * 16 * 256 * 512 * 8192 +
                                     27 * 16 * (192 + 128) * (2048.0 * 8192 + 2048.0 * 2049 / 2)));
  // Four chunks read all but the head four times.
  const double q4_head = kHead * 18 / 32, once = cost.work({WorkKind::prefill, 512, 0, 1}, 512).weight_bytes;
  EXPECT_DOUBLE_EQ(at_8k.weight_bytes, 4 * once - 3 * q4_head);
  EXPECT_DOUBLE_EQ(at_8k.cache_bytes, 10240 * 31'104.0);
}

TEST(Cost, ADecodeIsTheSumOfItsSteps) {
  const CostModel cost = Lite(DType::q4_0).cost;
  const Cost both = cost.work({WorkKind::decode, 2, 1000, 8}, 512), a = cost.step(8, 1001, 1),
             b = cost.step(8, 1002, 1);
  EXPECT_DOUBLE_EQ(both.flops, a.flops + b.flops);
  EXPECT_DOUBLE_EQ(both.bytes(), a.bytes() + b.bytes());
}

TEST(Cost, AModelWithoutExpertsOrLatents) {
  const ModelConfig config = config_from_json(test::kDense7B, "config.json");
  const ModelWeights weights = described(config, DType::bf16);
  const CostModel cost(config, weights, {.layers = 30, .width = 2 * 4096, .tail = 0, .type = CacheType::bf16});
  const double matrices = 30.0 * (4 * 4096 * 4096 + 3.0 * 4096 * 11008) + 102400.0 * 4096;
  EXPECT_DOUBLE_EQ(cost.active().total() - cost.active().norms, matrices);
  EXPECT_DOUBLE_EQ(cost.step(1, 99, 1).flops, 2 * (matrices + 30.0 * 32 * (128 + 128) * 100));
}

}  // namespace
}  // namespace fathom
