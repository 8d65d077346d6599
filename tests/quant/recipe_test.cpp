#include "quant/recipe.h"

#include <gtest/gtest.h>

#include <cctype>
#include <string>
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
  EXPECT_EQ(of(OutputType::iq4_xs, down, experts), DType::iq4_nl);
  EXPECT_EQ(of(OutputType::iq4_nl, down, {64, 2048, 24}), DType::f16);
  EXPECT_EQ(of(OutputType::q4_k_m, "model.layers.5.mlp.experts.5.down_proj.weight", experts), DType::q8_0);
  EXPECT_EQ(of(OutputType::q4_0, down, {64, 2048, 24}), DType::f16);
  EXPECT_EQ(of(OutputType::q4_k, down, {64, 2048, 24}), DType::f16);
}

// By layer of V2-Lite: "6" for q6_k, and so on; the order is that of src/llama-quant.cpp.
std::string by_layer(OutputType type, const char* part, const RecipeModel& model = kLite) {
  std::string types;
  for (int64_t i = 0; i < model.n_layers; ++i) {
    const DType t = of(type, "model.layers." + std::to_string(i) + "." + part + ".weight", {256, 2048}, model);
    const std::string_view n = name(t);
    types += n.starts_with("iq4") ? 'i'
             : n.ends_with("_k")  ? n[1]
             : n == "q8_0"        ? '8'
             : n == "q4_1"        ? 'x'
             : n == "q5_1"        ? 'y'
                                  : 'o';
  }
  return types;
}

TEST(Recipe, LlamaMixesRaiseTheTensorsThatLlamaQuantizeRaises) {
  const char *down = "mlp.shared_experts.down_proj", *value = "self_attn.kv_b_proj", *o = "self_attn.o_proj";
  const auto all = [](char c) { return std::string(27, c); };
  const auto front = [](size_t n, char first, char rest) { return std::string(n, first) + std::string(27 - n, rest); };
  const std::string more = "666556556556556556556556666", more4 = "666446446446446446446446666";
  struct Row {
    OutputType type;
    std::string down, value, o;
  };
  const Row rows[] = {
      {OutputType::q2_k, all('3'), all('3'), all('3')},
      {OutputType::q2_k_s, front(3, '4', '2'), all('2'), all('2')},
      {OutputType::q3_k_s, all('3'), all('3'), all('3')},
      {OutputType::q3_k_m, front(1, '5', '4'), front(2, '5', '4'), all('4')},
      {OutputType::q3_k_l, all('5'), all('5'), all('5')},
      {OutputType::q3_k, all('3'), all('3'), all('3')},
      {OutputType::q4_k_s, front(3, '5', '4'), front(4, '5', '4'), all('4')},
      {OutputType::q4_k_m, more4, more4, all('4')},
      {OutputType::q4_k, all('4'), all('4'), all('4')},
      {OutputType::q5_k_s, all('5'), all('5'), all('5')},
      {OutputType::q5_k_m, more, more, all('5')},
      {OutputType::q5_k, all('5'), all('5'), all('5')},
      {OutputType::q6_k, all('6'), all('6'), all('6')},
      {OutputType::iq4_nl, front(3, '5', 'i'), all('i'), all('i')},
      {OutputType::iq4_xs, front(3, '5', 'i'), all('i'), all('i')},
      {OutputType::q4_0, all('o'), all('o'), all('o')},
      {OutputType::q8_0, all('8'), all('8'), all('8')},
  };
  for (const Row& r : rows) {
    EXPECT_EQ(by_layer(r.type, down), r.down) << name(r.type);
    EXPECT_EQ(by_layer(r.type, value), r.value) << name(r.type);
    EXPECT_EQ(by_layer(r.type, o), r.o) << name(r.type);
    EXPECT_EQ(by_layer(r.type, "self_attn.q_proj"),
              r.type == OutputType::q2_k ? all('2') : by_layer(r.type, "mlp.up_proj"));
  }
}

TEST(Recipe, ImportanceDataAndGroupedQueriesChangeLlamaMixes) {
  RecipeModel weighted = kLite, grouped = kLite;
  weighted.importance = true, grouped.heads_for_each_kv_head = 8;
  const char* down = "mlp.experts.down_proj";
  EXPECT_EQ(by_layer(OutputType::iq4_xs, down, weighted), std::string(27, 'i'));
  EXPECT_EQ(by_layer(OutputType::q4_0, down, weighted), "xxx" + std::string(24, 'o'));
  EXPECT_EQ(by_layer(OutputType::q5_0, down, weighted), "yyy" + std::string(24, 'o'));
  EXPECT_EQ(by_layer(OutputType::q2_k, "self_attn.v_proj", grouped), std::string(27, '4'));
  EXPECT_EQ(by_layer(OutputType::q2_k_s, "self_attn.v_proj", grouped), std::string(27, '4'));
  EXPECT_EQ(by_layer(OutputType::iq4_nl, "self_attn.v_proj", grouped), std::string(27, '5'));
}

TEST(Recipe, EightExpertsTakeLlamaCppsRulesForMixtral) {
  RecipeModel eight = kLite;
  eight.n_experts = 8;
  for (OutputType type : {OutputType::q4_0, OutputType::q2_k, OutputType::q5_k_m, OutputType::iq4_xs}) {
    EXPECT_EQ(by_layer(type, "self_attn.v_proj", eight), std::string(27, '8')) << name(type);
    EXPECT_EQ(by_layer(type, "self_attn.k_proj", eight), std::string(27, '8')) << name(type);
  }
  EXPECT_EQ(by_layer(OutputType::q4_k_m, "self_attn.o_proj", eight), std::string(27, '5'));
  EXPECT_EQ(by_layer(OutputType::q3_k_l, "self_attn.o_proj", eight), std::string(27, '3'));
  EXPECT_EQ(by_layer(OutputType::q4_k, "self_attn.v_proj", eight), std::string(27, '4')) << "that format throughout";
}

TEST(Recipe, NamesRoundTrip) {
  for (int i = 0; i <= static_cast<int>(OutputType::q8); ++i) {
    const auto type = static_cast<OutputType>(i);
    EXPECT_EQ(output_type_from_name(name(type)), type);
    std::string upper(name(type));
    for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    EXPECT_EQ(output_type_from_name(upper), type);
  }
  EXPECT_EQ(output_type_from_name("Q4_K_m"), OutputType::q4_k_m);
  EXPECT_EQ(output_type_from_name("q4_k_mm"), std::nullopt);
  EXPECT_EQ(output_type_from_name(""), std::nullopt);
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
  EXPECT_EQ(parse_tensor_rule("*=IQ4_XS").dtype, DType::iq4_xs) << "in any case";
  for (const char* bad : {"q5_k", "=q5_k", "", "*=", "*=q4_k_m", "*=q9", "*=f8_e4m3"})
    EXPECT_TRUE(test::contains(test::error_of([&] { parse_tensor_rule(bad); }), "--tensor")) << bad;
}

}  // namespace
}  // namespace fathom
