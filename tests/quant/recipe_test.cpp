#include "quant/recipe.h"

#include <gtest/gtest.h>

#include <vector>

#include "support/files.h"

namespace fathom {
namespace {

const RecipeModel kLite{.n_layers = 27, .tied_output = false};

DType of(OutputType type, std::string_view hf_name, std::vector<int64_t> shape, const RecipeModel& model = kLite) {
  return recipe_dtype(type, model, hf_name, shape);
}

TEST(Recipe, NormsRouterBiasesAndVectorsStayF32) {
  for (OutputType type : {OutputType::f16, OutputType::bf16, OutputType::q4_0, OutputType::q4_k_m}) {
    EXPECT_EQ(of(type, "model.norm.weight", {2048}), DType::f32);
    EXPECT_EQ(of(type, "model.layers.1.self_attn.kv_a_layernorm.weight", {512}), DType::f32);
    EXPECT_EQ(of(type, "model.layers.1.mlp.gate.weight", {64, 2048}), DType::f32);
    EXPECT_EQ(of(type, "model.layers.1.mlp.gate.e_score_correction_bias", {64}), DType::f32);
  }
  EXPECT_EQ(of(OutputType::q4_0, "model.layers.0.mlp.gate_proj.weight", {10944, 2048}), DType::q4_0);
}

TEST(Recipe, TheOutputTakesQ6KInQuantisedTypes) {
  EXPECT_EQ(of(OutputType::q4_0, "lm_head.weight", {102400, 2048}), DType::q6_k);
  EXPECT_EQ(of(OutputType::q4_k_m, "lm_head.weight", {102400, 2048}), DType::q6_k);
  EXPECT_EQ(of(OutputType::q8_0, "lm_head.weight", {102400, 2048}), DType::q8_0);
  EXPECT_EQ(of(OutputType::bf16, "lm_head.weight", {102400, 2048}), DType::bf16);
  EXPECT_EQ(of(OutputType::q4_0, "model.embed_tokens.weight", {102400, 2048}), DType::q4_0);
  EXPECT_EQ(of(OutputType::q4_0, "model.embed_tokens.weight", {102400, 2048}, {.n_layers = 27, .tied_output = true}),
            DType::q6_k);
  EXPECT_EQ(of(OutputType::q4_0, "lm_head.weight", {100, 96}), DType::q8_0) << "a row of 96 is no whole block of 256";
}

TEST(Recipe, Q4KMRaisesHalfTheLayers) {
  std::vector<int64_t> raised;
  for (int64_t i = 0; i < 27; ++i) {
    const std::string layer = "model.layers." + std::to_string(i) + ".";
    const DType kv_b = of(OutputType::q4_k_m, layer + "self_attn.kv_b_proj.weight", {4096, 512});
    const DType down = of(OutputType::q4_k_m, layer + "mlp.shared_experts.down_proj.weight", {2048, 2816});
    EXPECT_EQ(kv_b, down) << i;
    if (kv_b == DType::q6_k) raised.push_back(i);
    EXPECT_EQ(of(OutputType::q4_k_m, layer + "self_attn.q_proj.weight", {3072, 2048}), DType::q4_k);
    EXPECT_EQ(of(OutputType::q4_k_m, layer + "self_attn.k_b_proj.weight", {16, 512, 128}), DType::q5_0);
    EXPECT_EQ(of(OutputType::q4_k_m, layer + "self_attn.v_b_proj.weight", {16, 128, 512}), DType::q4_k);
  }
  // 27 / 8 = 3 at the front, 7 * 27 / 8 = 23 and up, and every third between.
  EXPECT_EQ(raised, (std::vector<int64_t>{0, 1, 2, 5, 8, 11, 14, 17, 20, 23, 24, 25, 26}));
}

TEST(Recipe, RowsThatAreNoWholeBlocksFallBack) {
  const std::vector<int64_t> experts = {64, 2048, 1408};  // 1408 = 44 x 32 = 5.5 x 256
  const char* down = "model.layers.4.mlp.experts.5.down_proj.weight";
  EXPECT_EQ(of(OutputType::q2_k, down, experts), DType::q4_0);
  EXPECT_EQ(of(OutputType::q3_k, down, experts), DType::q4_0);
  EXPECT_EQ(of(OutputType::q4_k, down, experts), DType::q5_0);
  EXPECT_EQ(of(OutputType::q5_k, down, experts), DType::q5_1);
  EXPECT_EQ(of(OutputType::q6_k, down, experts), DType::q8_0);
  EXPECT_EQ(of(OutputType::q4_k_m, "model.layers.5.mlp.experts.5.down_proj.weight", experts), DType::q8_0);
  EXPECT_EQ(of(OutputType::q4_0, down, {64, 2048, 24}), DType::f16);
  EXPECT_EQ(of(OutputType::q4_k, down, {64, 2048, 24}), DType::f16);
}

TEST(Recipe, NamesRoundTrip) {
  for (int i = 0; i < 17; ++i) {
    const auto type = static_cast<OutputType>(i);
    EXPECT_EQ(output_type_from_name(name(type)), type);
  }
  EXPECT_EQ(output_type_from_name("q9_9"), std::nullopt);
  EXPECT_EQ(output_type_from_name("f8_e4m3"), std::nullopt);
}

TEST(Recipe, OwnRecipesGiveEveryPartATypeAndFallBackToTheSameBytes) {
  const char* down = "model.layers.4.mlp.experts.5.down_proj.weight";
  const char* up = "model.layers.4.mlp.experts.5.up_proj.weight";
  EXPECT_EQ(of(OutputType::q4, up, {64, 1408, 2048}), DType::q4_k);
  EXPECT_EQ(of(OutputType::q4, down, {64, 2048, 1408}), DType::q4_0) << "4.5 bits, as q4_k";
  EXPECT_EQ(of(OutputType::q5, down, {64, 2048, 1408}), DType::q5_0);
  EXPECT_EQ(of(OutputType::q8, down, {64, 2048, 1408}), DType::q8_0);
  EXPECT_EQ(of(OutputType::q4, down, {64, 2048, 24}), DType::f16);
  EXPECT_EQ(of(OutputType::q4, "model.layers.4.mlp.gate.weight", {64, 2048}), DType::f32);
  const RecipeModel tied{.n_layers = 27, .tied_output = true};
  EXPECT_EQ(of(OutputType::q4, "model.embed_tokens.weight", {102400, 2048}, tied),
            of(OutputType::q4, "lm_head.weight", {102400, 2048}));
}

TEST(TensorRule, PatternsMatchWholeNames) {
  const char* name = "model.layers.12.mlp.experts.3.up_proj.weight";
  for (const char* yes : {"*", "**", name, "model.*", "*.up_proj.weight", "*.experts.*.up_proj.*", "model.layers.1?.*",
                          "*weight*", "?odel*proj?weigh?"})
    EXPECT_TRUE(matches(yes, name)) << yes;
  for (const char* no : {"", "model", "*.up_proj", "model.layers.?.*", "*.down_proj.weight", "*.experts.4.*", "*z*",
                         "model.layers.12.mlp.experts.3.up_proj.weight?"})
    EXPECT_FALSE(matches(no, name)) << no;
  EXPECT_TRUE(matches("", ""));
  EXPECT_TRUE(matches("***", ""));
  // Time stays in proportion to the lengths' product however many stars there are.
  EXPECT_FALSE(matches(std::string(100, '*') + "b", std::string(10000, 'a')));
  EXPECT_FALSE(matches("*a*a*a*a*a*a*a*a*b", std::string(3000, 'a')));
}

TEST(TensorRule, IsAPatternAndATypeOfGguf) {
  const TensorRule rule = parse_tensor_rule("*.o_proj.weight=q5_k");
  EXPECT_EQ(rule.pattern, "*.o_proj.weight");
  EXPECT_EQ(rule.dtype, DType::q5_k);
  for (const char* bad : {"q5_k", "=q5_k", "", "*=", "*=q4_k_m", "*=q9", "*=f8_e4m3"})
    EXPECT_TRUE(test::contains(test::error_of([&] { parse_tensor_rule(bad); }), "--tensor")) << bad;
}

}  // namespace
}  // namespace fathom
