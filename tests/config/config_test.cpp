#include "config/config.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "support/files.h"
#include "support/published_configs.h"

namespace fathom {
namespace {

using test::contains;
using test::error_of;
using test::kDense67B;
using test::kMoe16B;
using test::kV2;
using test::kV2Lite;
using test::replaced;

std::string refusal_of(const std::string& text) {
  return error_of([&] { config_from_json(text, "config.json"); });
}

TEST(Config, ReadsThePublishedModels) {
  const ModelConfig v2 = config_from_json(kV2, "V2");
  EXPECT_EQ(v2.family, Family::deepseek_v2);
  EXPECT_EQ(v2.hidden_size, 5120);
  EXPECT_EQ(v2.q_lora_rank, 1536);
  EXPECT_EQ(v2.qk_head_dim(), 192);
  EXPECT_EQ(v2.cache_width(), 576);
  EXPECT_EQ(v2.topk_method, TopkMethod::group_limited_greedy);
  EXPECT_EQ(v2.n_group, 8);
  EXPECT_EQ(v2.topk_group, 3);
  EXPECT_EQ(v2.routed_scaling_factor, 16.0);
  ASSERT_TRUE(v2.rope_scaling);
  EXPECT_EQ(*v2.rope_scaling, (YarnScaling{40, 4096, 32, 1, 0.707, 0.707}));
  EXPECT_EQ(v2.rope_layout, RopeLayout::interleaved);
  EXPECT_FALSE(v2.layer_is_moe(0));
  EXPECT_TRUE(v2.layer_is_moe(1));
  EXPECT_EQ(v2.n_moe_layers(), 59);
  EXPECT_EQ(v2.eos_token_ids, std::vector<int64_t>{100001});

  const ModelConfig lite = config_from_json(kV2Lite, "Lite");
  EXPECT_FALSE(lite.q_lora_rank);
  EXPECT_EQ(lite.topk_method, TopkMethod::greedy);

  const ModelConfig moe = config_from_json(kMoe16B, "MoE");
  EXPECT_EQ(moe.family, Family::deepseek);
  EXPECT_EQ(moe.head_dim, 128);
  EXPECT_EQ(moe.cache_width(), 4096);
  EXPECT_EQ(moe.rope_layout, RopeLayout::half_split);
  EXPECT_EQ(moe.routed_scaling_factor, 1.0);

  const ModelConfig dense = config_from_json(kDense67B, "67B");
  EXPECT_EQ(dense.family, Family::llama);
  EXPECT_EQ(dense.cache_width(), 2048);
  EXPECT_EQ(dense.n_moe_layers(), 0);
}

TEST(Config, WhatIsWrittenIsReadBackTheSame) {
  for (const std::string_view text : {kV2, kV2Lite, kMoe16B, kDense67B}) {
    const ModelConfig c = config_from_json(text, "config.json");
    EXPECT_EQ(config_from_json(config_to_json(c, "bfloat16"), "written"), c);
    EXPECT_EQ(config_from_json(config_to_json(c, "bfloat16", /*f8_blocks=*/true), "written"), c);
  }
  ModelConfig dense = config_from_json(kV2Lite, "config.json");
  dense.n_routed_experts = dense.num_experts_per_tok = dense.n_shared_experts = dense.moe_intermediate_size =
      dense.first_k_dense_replace = 0;
  dense.eos_token_ids = {3, 4};
  dense.bos_token_id.reset();
  EXPECT_EQ(config_from_json(config_to_json(dense, "float32"), "written"), dense);
}

TEST(Config, AScoreBiasIsNamedByTheTopkMethodOfLatentAttention) {
  const ModelConfig c = config_from_json(replaced(kV2, "group_limited_greedy", "noaux_tc"), "c");
  EXPECT_TRUE(c.has_score_bias());
  EXPECT_EQ(config_from_json(config_to_json(c, "bfloat16"), "written"), c);
  EXPECT_TRUE(contains(
      refusal_of(replaced(replaced(kV2, "group_limited_greedy", "noaux_tc"), "\"n_group\": 8", "\"n_group\": 160")),
      "2 * n_group (320) is more than n_routed_experts (160)"));
}

TEST(Config, BothLayoutsOfTheRopeKeysMeanTheSame) {
  const std::string_view old_rope =
      R"("rope_theta": 10000, "rope_scaling": {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096, "beta_fast": 32, "beta_slow": 1, "mscale": 0.707, "mscale_all_dim": 0.707})";
  const std::string new_rope = replaced(
      kV2Lite, old_rope,
      R"("rope_parameters": {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 40.0, "original_max_position_embeddings": 4096, "beta_fast": 32, "beta_slow": 1, "mscale": 0.707, "mscale_all_dim": 0.707}, "head_dim": 64, "qk_head_dim": 192, "mlp_bias": false)");
  EXPECT_EQ(config_from_json(new_rope, "new"), config_from_json(kV2Lite, "old"));

  const ModelConfig plain = config_from_json(
      replaced(kV2Lite, old_rope, R"("rope_parameters": {"rope_type": "default", "rope_theta": 5000.0})"), "c");
  EXPECT_FALSE(plain.rope_scaling);
  EXPECT_EQ(plain.rope_theta, 5000.0);
  EXPECT_TRUE(contains(refusal_of(replaced(kV2Lite, old_rope, R"("rope_parameters": {"rope_type": "default"})")),
                       "rope_theta is missing"));
  EXPECT_TRUE(contains(
      refusal_of(replaced(kV2Lite, "\"rope_theta\"", R"("rope_parameters": {"rope_theta": 1e4}, "rope_theta")")),
      "both rope_scaling and rope_parameters"));
}

TEST(Config, BothLayoutsOfTheRopeKeysMayStandSideBySideWhereTheyAgree) {
  const std::string_view yarn =
      R"("factor": 40, "original_max_position_embeddings": 4096, "beta_fast": 32, "beta_slow": 1, "mscale": 0.707, "mscale_all_dim": 0.707})";
  const auto both = [&](std::string_view start) {
    return replaced(kV2Lite, "\"rope_theta\"",
                    fmt::format(R"("rope_parameters": {{{}, {}, "rope_theta")", start, yarn));
  };
  EXPECT_EQ(config_from_json(both(R"("rope_type": "yarn", "rope_theta": 10000.0)"), "c"),
            config_from_json(kV2Lite, "c"));
  EXPECT_EQ(config_from_json(both(R"("type": "yarn", "rope_type": "yarn")"), "c"), config_from_json(kV2Lite, "c"));
  EXPECT_EQ(config_from_json(replaced(kV2Lite, "\"type\": \"yarn\"",
                                      R"("type": "yarn", "rope_type": "yarn", "rope_theta": 1e4, "finetuned": true,
                                     "extrapolation_factor": 1, "attn_factor": 1.0)"),
                             "c"),
            config_from_json(kV2Lite, "c"));
  EXPECT_TRUE(contains(refusal_of(both(R"("rope_type": "yarn", "rope_theta": 20000)")), "rope_theta is 10000"));
  EXPECT_TRUE(contains(
      refusal_of(replaced(both(R"("rope_type": "yarn", "rope_theta": 10000)"), "\"factor\": 40", "\"factor\": 32")),
      "and they differ"));
  EXPECT_TRUE(contains(refusal_of(replaced(kV2Lite, "\"type\": \"yarn\"", R"("type": "yarn", "rope_type": "linear")")),
                       "they must agree"));
  const ModelConfig dense = config_from_json(kDense67B, "c");
  EXPECT_EQ(config_from_json(
                replaced(kDense67B, "\"rope_scaling\": null",
                         R"("rope_scaling": {"rope_type": "default"}, "rope_parameters": {"rope_theta": 10000.0})"),
                "c"),
            dense);
}

TEST(Config, WhatCannotChangeAResultIsPassedOverAndNamed) {
  const std::string_view harmless[] = {R"("unsloth_version": "2026.1.2")",
                                       R"("unsloth_fixed": true)",
                                       R"("axolotl_version": "0.13.0")",
                                       R"("experts_implementation": "grouped_mm")",
                                       R"("_experts_implementation": "eager")",
                                       R"("_attn_implementation_internal": "sdpa")",
                                       R"("attn_implementation": "flash_attention_2")",
                                       R"("dtype": "bfloat16")",
                                       R"("hidden_dropout": 0.0)",
                                       R"("router_z_loss_coef": 0.001)",
                                       R"("router_jitter_noise": 0.01)",
                                       R"("base_model_name_or_path": "base")",
                                       R"("quantized_by": "somebody")",
                                       R"("use_kernels": true)",
                                       R"("min_p": 0.05)"};
  for (const std::string_view key : harmless) {
    std::vector<std::string> ignored;
    EXPECT_EQ(
        config_from_json(replaced(kV2Lite, "\"hidden_size\"", fmt::format("{}, \"hidden_size\"", key)), "c", &ignored),
        config_from_json(kV2Lite, "c"))
        << key;
    EXPECT_EQ(std::count(ignored.begin(), ignored.end(), key.substr(1, key.find('"', 1) - 1)), 1) << key;
  }
}

TEST(Config, ANullSaysNothing) {
  for (const std::string_view key :
       {"sliding_window", "rope_parameters", "quantization_config", "layer_types", "n_mtp"}) {
    std::vector<std::string> ignored;
    EXPECT_EQ(config_from_json(replaced(kV2Lite, "\"hidden_size\"", fmt::format("\"{}\": null, \"hidden_size\"", key)),
                               "c", &ignored),
              config_from_json(kV2Lite, "c"))
        << key;
    EXPECT_EQ(std::count(ignored.begin(), ignored.end(), key), 0) << key;
  }
  EXPECT_EQ(config_from_json(replaced(kV2Lite, "\"factor\"", "\"low_freq_factor\": null, \"factor\""), "c"),
            config_from_json(kV2Lite, "c"));
}

TEST(Config, ValuesThatSayWhatFathomDoesAreAccepted) {
  std::string layers = "\"full_attention\"", mlps = "\"dense\"";
  for (int i = 1; i < 27; ++i) layers += ", \"full_attention\"", mlps += ", \"sparse\"";
  const auto add = [](std::string_view key) {
    return replaced(kV2Lite, "\"hidden_size\"", fmt::format("{}, \"hidden_size\"", key));
  };
  for (const std::string& key :
       {std::string(R"("use_sliding_window": false)"), std::string(R"("final_logit_softcapping": 0)"),
        std::string(R"("embedding_multiplier": 1)"), std::string(R"("num_local_experts": 64)"),
        fmt::format("\"layer_types\": [{}]", layers), fmt::format("\"mlp_layer_types\": [{}]", mlps)})
    EXPECT_EQ(config_from_json(add(key), "c"), config_from_json(kV2Lite, "c")) << key;
  EXPECT_TRUE(contains(refusal_of(add(R"("use_sliding_window": true)")), "use_sliding_window is 'true'"));
  EXPECT_TRUE(contains(refusal_of(add(R"("num_local_experts": 32)")), "num_local_experts is 32"));
  EXPECT_TRUE(contains(refusal_of(add(R"("layer_types": ["full_attention"])")), "layer_types has 1 entries"));
  EXPECT_TRUE(contains(refusal_of(add(fmt::format("\"layer_types\": [{}]", replaced(layers, "full", "sliding")))),
                       "says '\"sliding_attention\"' of layer 0"));
  EXPECT_TRUE(contains(refusal_of(add(fmt::format("\"mlp_layer_types\": [{}]", replaced(mlps, "dense", "sparse")))),
                       "of layer 0, which is dense"));
  EXPECT_TRUE(contains(refusal_of(add(R"("rope_version": 2)")), "unknown key 'rope_version'"));
}

TEST(Config, ATokenIdDoesNotWrap) {
  for (const char* id : {"4294967297", "[1, 4294967297]", "-5"})
    EXPECT_TRUE(
        contains(refusal_of(replaced(kV2Lite, "\"eos_token_id\": 100001", fmt::format("\"eos_token_id\": {}", id))),
                 "eos_token_id must be a token id"))
        << id;
  EXPECT_TRUE(contains(refusal_of(replaced(kV2Lite, "\"bos_token_id\": 100000", "\"bos_token_id\": 4294967297")),
                       "bos_token_id is 4294967297"));
  EXPECT_EQ(config_from_json(replaced(kV2Lite, "\"bos_token_id\": 100000", "\"bos_token_id\": -1"), "c").bos_token_id,
            std::nullopt);
}

TEST(Config, AByteOrderMarkIsNoText) {
  EXPECT_EQ(config_from_json("\xEF\xBB\xBF" + std::string(kV2Lite), "c"), config_from_json(kV2Lite, "c"));
}

TEST(Config, AnAbsentOrZeroMscaleIsTakenWhereTheReferencesAgreeAndRefusedElsewhere) {
  const auto with_mscale = [](std::string_view text) {
    return replaced(kV2Lite, R"(, "mscale": 0.707, "mscale_all_dim": 0.707)", text);
  };
  for (const std::string_view same :
       {"", R"(, "mscale_all_dim": 0)", R"(, "mscale": 1.0)", R"(, "mscale": null, "mscale_all_dim": 0.0)"}) {
    const ModelConfig c = config_from_json(with_mscale(same), "c");
    EXPECT_EQ(c.rope_scaling->mscale, 1.0) << same;
    EXPECT_EQ(c.rope_scaling->mscale_all_dim, 0.0) << same;
  }
  const ModelConfig two = config_from_json(with_mscale(R"(, "mscale": 0.5, "mscale_all_dim": 2)"), "c");
  EXPECT_EQ(two.rope_scaling->mscale, 0.5);
  EXPECT_EQ(two.rope_scaling->mscale_all_dim, 2.0);
  for (const std::string_view bad : {R"(, "mscale": 0.707)", R"(, "mscale_all_dim": 0.707)",
                                     R"(, "mscale": 0, "mscale_all_dim": 1)", R"(, "mscale": 0)"})
    EXPECT_TRUE(contains(refusal_of(with_mscale(bad)), "the reference implementations disagree on this pair")) << bad;
}

TEST(Config, UnknownKeysTypesAndValuesAreRefusedByName) {
  const struct {
    std::string_view text, from, to, message;
  } cases[] = {
      {kV2Lite, "\"hidden_size\"", "\"sliding_window\": 4, \"hidden_size\"", "unknown key 'sliding_window'"},
      {kV2Lite, "\"factor\"", "\"low_freq_factor\": 1, \"factor\"", "rope_scaling: unknown key 'low_freq_factor'"},
      {kV2Lite, "\"deepseek_v2\"", "\"deepseek_v3\"", "model_type 'deepseek_v3' is not supported"},
      {kV2Lite, "DeepseekV2ForCausalLM", "DeepseekV2Model", "architectures names"},
      {kV2Lite, "\"greedy\"", "\"gready\"", "topk_method 'gready' is not supported"},
      {kV2Lite, "\"greedy\"", "null", "topk_method is missing"},
      {kV2Lite, "\"softmax\"", "\"sigmoid\"", "scoring_func is"},
      {kV2Lite, "\"silu\"", "\"gelu\"", "hidden_act is"},
      {kV2Lite, "\"attention_bias\": false", "\"attention_bias\": true",
       "attention_bias is 'true'; fathom implements false only"},
      {kV2Lite, "\"type\": \"yarn\"", "\"type\": \"linear\"", "type 'linear' is not supported"},
      {kV2Lite, "\"beta_fast\": 32", "\"beta_fast\": \"32\"", "beta_fast must be a number, found a string"},
      {kV2Lite, "\"factor\": 40", "\"attention_factor\": 2.0, \"factor\": 40", "attention_factor is"},
      {kV2Lite, "\"factor\": 40", "\"truncate\": false, \"factor\": 40", "truncate is"},
      {kV2Lite, "\"hidden_size\": 2048", "\"hidden_size\": \"2048\"",
       "hidden_size must be a whole number, found a string"},
      {kV2Lite, "\"hidden_size\": 2048", "\"hidden_size\": 2048.5", "hidden_size must be a whole number, found 2048.5"},
      {kV2Lite, "\"hidden_size\": 2048", "\"hidden_size\": true", "hidden_size must be a whole number"},
      {kV2Lite, "\"hidden_size\": 2048", "\"hidden_size\": null", "hidden_size is missing (it is null)"},
      {kV2Lite, "\"hidden_size\": 2048,", "", "hidden_size is missing"},
      {kV2Lite, "\"num_key_value_heads\": 16", "\"num_key_value_heads\": 4",
       "num_key_value_heads is 4, but num_attention_heads is 16"},
      {kV2Lite, "\"hidden_size\"", "\"head_dim\": 128, \"hidden_size\"", "head_dim is 128, but qk_rope_head_dim is 64"},
      {kV2Lite, "\"eos_token_id\": 100001", "\"eos_token_id\": [1, \"x\"]", "eos_token_id must be a token id"},
      {kMoe16B, "\"moe_layer_freq\"", "\"topk_method\": \"group_limited_greedy\", \"moe_layer_freq\"",
       "topk_method 'group_limited_greedy' is not supported; greedy is"},
      {kMoe16B, "\"moe_layer_freq\"", "\"topk_method\": \"noaux_tc\", \"moe_layer_freq\"",
       "topk_method 'noaux_tc' is not supported; greedy is"},
      {kDense67B, "\"rope_scaling\": null", "\"rope_scaling\": {\"type\": \"linear\", \"factor\": 2}",
       "rope_scaling: type 'linear' is not supported for model_type llama"},
      {kDense67B, "\"rope_scaling\": null", "\"mlp_bias\": true", "mlp_bias is"},
      {kDense67B, "\"hidden_size\"", "\"kv_lora_rank\": 4, \"hidden_size\"", "unknown key 'kv_lora_rank'"},
  };
  for (const auto& c : cases) EXPECT_TRUE(contains(refusal_of(replaced(c.text, c.from, c.to)), c.message)) << c.to;
  EXPECT_TRUE(contains(refusal_of("[]"), "must be a JSON object"));
  EXPECT_TRUE(contains(refusal_of("{}"), "model_type is missing"));
  EXPECT_TRUE(contains(refusal_of(""), "config.json"));
}

TEST(Config, SizesThatCannotBeAreRefusedWithTheFieldsName) {
  const auto expect = [](std::string_view text, std::string_view key, std::initializer_list<std::string_view> values) {
    const size_t at = text.find(fmt::format("\"{}\": ", key));
    ASSERT_NE(at, std::string_view::npos) << key;
    const size_t begin = at + key.size() + 4, end = text.find_first_of(",}\n", begin);
    for (const std::string_view value : values) {
      std::string changed(text);
      changed.replace(begin, end - begin, value);
      EXPECT_TRUE(contains(refusal_of(changed), key)) << key << " = " << value;
    }
  };
  for (const std::string_view key :
       {"hidden_size", "num_hidden_layers", "intermediate_size", "vocab_size", "num_attention_heads",
        "max_position_embeddings", "kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim", "q_lora_rank",
        "num_experts_per_tok", "moe_intermediate_size", "moe_layer_freq", "n_group", "topk_group"})
    expect(kV2, key, {"0", "-1", "9223372036854775807", "-9223372036854775808", "1e3", "18446744073709551615"});
  expect(kV2, "n_routed_experts", {"0", "-1", "9223372036854775807", "161", "4"});
  expect(kV2, "n_shared_experts", {"-1", "9223372036854775807"});
  expect(kV2, "first_k_dense_replace", {"-1", "9223372036854775807"});
  expect(kV2, "n_group", {"7", "161"});
  expect(kV2, "topk_group", {"9"});
  expect(kV2, "num_experts_per_tok", {"61", "161"});  // 3 groups of 20 hold 60
  expect(kV2, "qk_rope_head_dim", {"63"});
  expect(kV2, "rms_norm_eps", {"0", "-1e-6", "1", "\"1e-6\""});
  expect(kV2, "rope_theta", {"0", "-1", "1", "1e300"});
  expect(kV2, "routed_scaling_factor", {"0", "-16", "1e300"});
  expect(kV2, "factor", {"0", "0.5", "-40", "1e300"});
  expect(kV2, "original_max_position_embeddings", {"0", "-1", "null"});
  expect(kV2, "beta_slow", {"0", "64", "-1"});
  expect(kDense67B, "num_key_value_heads", {"0", "-8", "7", "128"});
  expect(kDense67B, "num_attention_heads", {"0", "-64", "63"});
  EXPECT_TRUE(contains(refusal_of(replaced(kV2, "\"rope_theta\": 10000", "\"rope_theta\": NaN")), "config.json"));
  EXPECT_TRUE(contains(refusal_of(replaced(kV2, "\"num_hidden_layers\": 60", "\"num_hidden_layers\": 4096")),
                       "n_routed_experts"));
}

}  // namespace
}  // namespace fathom
