#include "claims/throughput_claim.h"

#include <gtest/gtest.h>

#include "claims/kv_claim.h"
#include "claims/memory_model.h"
#include "claims/scaled_shapes.h"
#include "convert/synth/shapes.h"
#include "model/footprint.h"
#include "support/errors.h"

namespace fathom {
namespace {

CostModel costs_of(const char* shape, DType weights, CacheType cache) {
  const ModelConfig c = *shape_by_name(shape);
  return {c,
          described_weights(c, weights),
          {.layers = c.num_hidden_layers,
           .width = c.cache_width(),
           .tail = c.uses_mla() ? c.qk_rope_head_dim : 0,
           .type = cache}};
}

// So that no test waits until the machine's own are measured.
constexpr NodeLimits kSomeLimits{.memory = 0, .bytes_per_second = 1e10, .byte_ops = 1e12, .bf16_ops = 5e11};

// Spec 6.2: FP8 weights of 235.7 GB leave room for 15.6 million tokens of 25,920 bytes; every expert is read by a large
// batch, which takes 8.8 ms at least.
TEST(ThroughputClaim, RooflineOfTheNode) {
  const CostModel v2 = costs_of("v2", DType::f8_e4m3, kPaperCacheType);
  EXPECT_NEAR(v2.total_bytes() / 1e9, 235.9, 0.3);
  EXPECT_NEAR((kEightH800.memory - v2.total_bytes()) / 25'920 / 1e6, 15.6, 0.05);
  const Roofline read =
      roofline({.bytes_per_second = 26.8e12, .byte_ops = 1e30, .bf16_ops = 1e30}, v2, DType::f8_e4m3, 440, 0);
  EXPECT_TRUE(read.by_memory);
  EXPECT_NEAR(read.seconds, 8.8e-3, 1e-4);
  EXPECT_NEAR(read.tokens_per_second(), 50e3, 1e3);
  // 41.70 GFLOP of weights and 548 of attention at 32K, one token: of 8 x 1979 and 8 x 989.5 TFLOP/s.
  const Roofline deep = roofline(kEightH800, v2, DType::f8_e4m3, 1000, 32767);
  EXPECT_FALSE(deep.by_memory);
  EXPECT_NEAR(deep.seconds, 1000 * (41.7e9 / (8 * 1979e12) + 548e9 / (8 * 989.5e12)), 1e-3);
  // In bfloat16 the same products take twice the time.
  const Roofline wide = roofline(kEightH800, costs_of("v2", DType::bf16, CacheType::bf16), DType::bf16, 100000, 0);
  const Roofline narrow = roofline(kEightH800, v2, DType::f8_e4m3, 100000, 0);
  EXPECT_NEAR(wide.seconds / narrow.seconds, 2, 0.1);  // but for what belongs to attention
}

// A token generated at depth 3072: the operations of both shapes, and of attention alone, shrink alike.
TEST(ThroughputClaim, NarrowerHeadsKeepTheProportionsOfGeneration) {
  constexpr int64_t kScale = 8;
  for (const char* name : {"v2", "dense-67b"}) {
    const ModelConfig small = scaled_shape(*shape_by_name(name), kScale, kFewerLayers, ScaledHeads::narrower);
    const CostModel cost(small, described_weights(small, DType::bf16),
                         {.layers = small.num_hidden_layers,
                          .width = small.cache_width(),
                          .tail = small.uses_mla() ? small.qk_rope_head_dim : 0,
                          .type = CacheType::bf16});
    const PartCosts parts = cost.step_parts(1, 3072 / kScale - 1, 1);
    const PartCosts whole = costs_of(name, DType::bf16, CacheType::bf16).step_parts(1, 3071, 1);
    const auto attention = static_cast<size_t>(Part::attention);
    const double by = kScale * kScale * kFewerLayers;
    EXPECT_NEAR(parts[attention].flops * by / whole[attention].flops, 1, 0.01) << name;
    EXPECT_NEAR(sum_of(parts).flops * by / sum_of(whole).flops, 1, 0.02) << name;
    EXPECT_NEAR(parts[attention].cache_bytes * by / whole[attention].cache_bytes, 1, 0.01) << name;
  }
}

TEST(ThroughputClaim, BothShapesGenerateInEqualMemory) {
  const ThroughputClaim c = claim_throughput({.scale = 16,
                                              .fewer_layers = 30,
                                              .memory = 24e6,
                                              .steps = 1,
                                              .rounds = 2,
                                              .deployed_only = true,
                                              .limits = kSomeLimits});
  ASSERT_EQ(c.variants.size(), 2u);
  for (const MeasuredVariant& v : c.variants) {
    EXPECT_EQ(v.seconds.size(), 2u);
    const double cache = static_cast<double>(v.sequences * c.room) * v.cache_bytes_per_token;
    EXPECT_LE(v.weight_bytes + cache, c.memory);
    EXPECT_GT(v.weight_bytes + cache + v.cache_bytes_per_token * static_cast<double>(c.room),
              c.memory);  // one more does not fit
    EXPECT_EQ(v.attention_share > 0, v.what.shape != ThroughputShape::dense);
    EXPECT_LT(v.attention_share, 1);
  }
  EXPECT_GT(c.variants[kDeployedV2].sequences, 3 * c.variants[kDeployedDense].sequences);
  EXPECT_EQ(c.ratios(kDeployedV2, kDeployedDense).size(), 2u);
  EXPECT_NE(to_table(c).find("5.76 times"), std::string::npos);
  EXPECT_EQ(to_json(c).at("comparisons").as_array().size(), 1u);
}

TEST(ThroughputClaim, WhatCannotBeIsRefusedBeforeWork) {
  std::string why = test::error_of([] { claim_throughput({.prompt = 4000, .generated = 97}); }, ErrorKind::bad_input);
  EXPECT_NE(why.find("67B reads 4096"), std::string::npos) << why;
  why =
      test::error_of([] { claim_throughput({.scale = 16, .fewer_layers = 30, .memory = 1e6}); }, ErrorKind::bad_input);
  EXPECT_NE(why.find("--memory 1.00 MB has no room"), std::string::npos) << why;
  why = test::error_of([] { claim_throughput({.scale = 4, .memory = 1e15}); }, ErrorKind::resource);
  EXPECT_NE(why.find("larger --scale or less --memory"), std::string::npos) << why;
}

// The weights of a folder or file that `fathom synth` would write.
TEST(MemoryModel, HoldsEveryTensorInItsType) {
  ThreadPool pool(2);
  const ModelConfig config = scaled_shape(*shape_by_name("v2"), 16, 30);
  const MemoryModel m(pool, config, DType::q8_0);
  ModelWeights weights = m.model().weights;
  double bytes = 0;
  for (const auto& [type, n] : weight_bytes(config, weights)) bytes += static_cast<double>(n);
  EXPECT_EQ(bytes, m.bytes());
  EXPECT_EQ(weights.embed_tokens.dtype, DType::q8_0);
  EXPECT_EQ(weights.norm.dtype, DType::f32);
  EXPECT_NEAR(reinterpret_cast<const float*>(weights.norm.data)[0], 1, 0.5);
}

}  // namespace
}  // namespace fathom
