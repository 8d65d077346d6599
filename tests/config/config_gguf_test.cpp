#include "config/config_gguf.h"

#include <gtest/gtest.h>

#include "support/files.h"
#include "support/published_configs.h"

namespace fathom {
namespace {

using test::contains;
using test::error_of;

// Just enough of a source: whether there is an output tensor, and whether routers have a bias.
class HeadSource : public TensorSource {
 public:
  HeadSource(bool has_head, bool has_score_bias) : has_head_(has_head) {
    if (!has_score_bias) return;
    biases_.emplace_back();
    biases_.back().name = "blk.1.exp_probs_b.bias";
  }
  const std::vector<TensorInfo>& tensors() const noexcept override { return biases_; }
  const TensorInfo* find(std::string_view name) const noexcept override {
    return has_head_ && name == "output.weight" ? &head_ : nullptr;
  }
  const std::string& where() const noexcept override { return where_; }

 private:
  bool has_head_;
  std::vector<TensorInfo> biases_;
  TensorInfo head_;
  std::string where_ = "m.gguf";
};

// What a GGUF file keeps of a config: its layout is interleaved, and token ids stand with the vocabulary.
ModelConfig as_in_gguf(ModelConfig c) {
  c.rope_layout = RopeLayout::interleaved;
  c.bos_token_id.reset();
  c.pad_token_id.reset();
  c.eos_token_ids.clear();
  return c;
}

ModelConfig read(const GgufMetadata& m, bool has_head = true, bool has_score_bias = false) {
  return config_from_gguf(m, HeadSource(has_head, has_score_bias));
}

TEST(ConfigGguf, WhatIsWrittenIsReadBackTheSame) {
  for (const std::string_view text : {test::kV2, test::kV2Lite, test::kMoe16B, test::kDense67B, test::kDense7B}) {
    const ModelConfig c = as_in_gguf(config_from_json(text, "config.json"));
    EXPECT_EQ(read(config_to_gguf(c)), c);
  }
  ModelConfig odd = as_in_gguf(config_from_json(test::kV2, "config.json"));
  odd.rope_scaling->mscale = odd.rope_scaling->mscale_all_dim = 1.0;
  odd.rms_norm_eps = 1e-5;
  odd.norm_topk_prob = true;
  odd.tie_word_embeddings = true;
  odd.rope_theta = 50000;
  EXPECT_EQ(read(config_to_gguf(odd), /*has_head=*/false), odd);
  odd.rope_scaling->mscale = 1;
  odd.rope_scaling->mscale_all_dim = 0;
  EXPECT_EQ(read(config_to_gguf(odd), false), odd);
  odd.rope_scaling->mscale_all_dim = 0.5;
  EXPECT_TRUE(contains(error_of([&] { config_to_gguf(odd); }), "mscale is 1 and mscale_all_dim is 0.5"));
}

// Keys and values as llama.cpp's converter writes them for V2-Lite; the older layout, before key_length_mla, differs in
// three of them.
GgufMetadata lite_metadata() {
  GgufMetadata m("lite.gguf");
  m.set_string("general.architecture", "deepseek2");
  m.set_string("general.name", "DeepSeek V2 Lite");
  m.set_u32("deepseek2.block_count", 27);
  m.set_u32("deepseek2.context_length", 163840);
  m.set_u32("deepseek2.embedding_length", 2048);
  m.set_u32("deepseek2.feed_forward_length", 10944);
  m.set_u32("deepseek2.attention.head_count", 16);
  m.set_u32("deepseek2.attention.head_count_kv", 1);
  m.set_f32("deepseek2.rope.freq_base", 10000);
  m.set_f32("deepseek2.attention.layer_norm_rms_epsilon", 1e-6f);
  m.set_u32("deepseek2.expert_used_count", 6);
  m.set_u32("general.file_type", 32);
  m.set_u32("deepseek2.leading_dense_block_count", 1);
  m.set_u32("deepseek2.vocab_size", 102400);
  m.set_u32("deepseek2.attention.kv_lora_rank", 512);
  m.set_u32("deepseek2.attention.key_length", 576);
  m.set_u32("deepseek2.attention.value_length", 512);
  m.set_u32("deepseek2.attention.key_length_mla", 192);
  m.set_u32("deepseek2.attention.value_length_mla", 128);
  m.set_u32("deepseek2.expert_feed_forward_length", 1408);
  m.set_u32("deepseek2.expert_count", 64);
  m.set_u32("deepseek2.expert_shared_count", 2);
  m.set_f32("deepseek2.expert_weights_scale", 1.0f);
  m.set_u32("deepseek2.expert_group_count", 1);
  m.set_u32("deepseek2.expert_group_used_count", 1);
  m.set_u32("deepseek2.expert_gating_func", 1);
  m.set_u32("deepseek2.rope.dimension_count", 64);
  m.set_string("deepseek2.rope.scaling.type", "yarn");
  m.set_f32("deepseek2.rope.scaling.factor", 40);
  m.set_u32("deepseek2.rope.scaling.original_context_length", 4096);
  m.set_f32("deepseek2.rope.scaling.yarn_log_multiplier", 0.0707f);
  m.set_u32("general.quantization_version", 2);
  m.set_string("tokenizer.ggml.model", "gpt2");
  m.set_u32("split.count", 1);
  return m;
}

TEST(ConfigGguf, BothLayoutsOfLatentAttentionAreTheSameModel) {
  const ModelConfig want = as_in_gguf(config_from_json(test::kV2Lite, "config.json"));
  GgufMetadata m = lite_metadata();
  EXPECT_EQ(read(m), want);
  EXPECT_EQ(read(m).rope_scaling->mscale_all_dim, 0.707);  // not 0.0707: spec section 9, 3
  m.set_u32("deepseek2.attention.head_count_kv", 16);
  m.set_u32("deepseek2.attention.key_length", 192);
  m.set_u32("deepseek2.attention.value_length", 128);
  m.erase("deepseek2.attention.key_length_mla");
  m.erase("deepseek2.attention.value_length_mla");
  m.erase("deepseek2.expert_gating_func");
  m.erase("deepseek2.expert_group_count");
  m.erase("deepseek2.expert_group_used_count");
  EXPECT_EQ(read(m), want);
}

TEST(ConfigGguf, GroupLimitedRoutingComesFromTheMetadata) {
  GgufMetadata m = lite_metadata();
  m.set_u32("deepseek2.expert_group_count", 8);
  m.set_u32("deepseek2.expert_group_used_count", 3);
  EXPECT_EQ(read(m).topk_method, TopkMethod::group_limited_greedy);
  EXPECT_EQ(read(m).n_group, 8);
  EXPECT_EQ(read(m).topk_group, 3);
  m.erase("deepseek2.expert_group_used_count");
  EXPECT_TRUE(contains(error_of([&] { read(m); }), "deepseek2.expert_group_used_count is missing"));
}

TEST(ConfigGguf, WhereV2sGroupsWereLeftOutIsSaid) {
  const ModelConfig v2 = as_in_gguf(config_from_json(test::kV2, "config.json"));
  GgufMetadata m = config_to_gguf(v2);
  EXPECT_FALSE(missing_groups_notice(m, read(m)));
  m.erase("deepseek2.expert_group_count");
  m.erase("deepseek2.expert_group_used_count");
  EXPECT_EQ(read(m).topk_method, TopkMethod::greedy);
  const std::string notice = missing_groups_notice(m, read(m)).value_or("");
  EXPECT_TRUE(contains(notice, "no 'deepseek2.expert_group_count'")) << notice;
  EXPECT_TRUE(contains(notice, "among all 160")) << notice;
  EXPECT_FALSE(missing_groups_notice(lite_metadata(), read(lite_metadata()))) << "V2-Lite has no groups";
}

TEST(ConfigGguf, AScoreBiasIsKnownByItsTensor) {
  for (const std::string_view text : {test::kV2, test::kV2Lite}) {
    ModelConfig c = as_in_gguf(config_from_json(text, "config.json"));
    c.topk_method = TopkMethod::noaux_tc;
    EXPECT_EQ(read(config_to_gguf(c), true, true), c);
    EXPECT_NE(read(config_to_gguf(c), true, false), c);
  }
}

TEST(ConfigGguf, NamespacesOfSomebodysOwnAreNamedAndPassedOver) {
  const ModelConfig want = read(lite_metadata());
  GgufMetadata m = lite_metadata();
  m.set_string("mradermacher.quantize_version", "2");
  m.set_string("unsloth.note", "dynamic");
  m.set_u32("ik_llama.repacked", 0);
  m.set_string("a_key_without_namespace", "x");
  m.set_string("qwen2.block_count", "what another architecture would read");
  std::vector<std::string> ignored;
  EXPECT_EQ(config_from_gguf(m, HeadSource(true, false), &ignored), want);
  EXPECT_EQ(ignored, (std::vector<std::string>{"mradermacher.quantize_version", "unsloth.note", "ik_llama.repacked",
                                               "a_key_without_namespace", "qwen2.block_count"}));
  m.set_string("quantize.imatrix.file", "x.dat");
  m.set_string("fathom.generation_config", "{}");
  ignored.clear();
  EXPECT_EQ(config_from_gguf(m, HeadSource(true, false), &ignored), want);
  EXPECT_EQ(ignored.size(), 5u);
}

TEST(ConfigGguf, KeysThatSwitchSomethingOffAreAccepted) {
  GgufMetadata m = lite_metadata();
  m.set_u32("deepseek2.attention.sliding_window", 0);
  m.set_f32("deepseek2.attention.clamp_kqv", 0);
  m.set_f32("deepseek2.logit_scale", 1);
  m.set_f32("deepseek2.rope.scale_linear", 1);
  m.set_bool("deepseek2.use_parallel_residual", false);
  m.set_string("deepseek2.tensor_data_layout", "Meta AI original pth");
  m.set_u32("deepseek2.expert_shared_feed_forward_length", 2816);
  EXPECT_EQ(read(m), read(lite_metadata()));
  const auto refusal = [](auto&& change) {
    GgufMetadata other = lite_metadata();
    change(other);
    return error_of([&] { read(other); });
  };
  EXPECT_TRUE(contains(refusal([](auto& o) { o.set_f32("deepseek2.logit_scale", 2); }), "unknown key"));
  EXPECT_TRUE(contains(refusal([](auto& o) { o.set_bool("deepseek2.use_parallel_residual", true); }), "unknown key"));
  EXPECT_TRUE(contains(refusal([](auto& o) { o.set_u32("deepseek2.expert_shared_feed_forward_length", 1408); }),
                       "is 1408, but there are 2 shared experts"));
}

TEST(ConfigGguf, OtherKindsOfGgufFilesAreNamed) {
  const auto refusal = [](const char* key, const char* value) {
    GgufMetadata m("x.gguf");
    m.set_string(key, value);
    return error_of([&] { read(m); });
  };
  EXPECT_TRUE(contains(refusal("general.type", "adapter"), "is an adapter"));
  EXPECT_TRUE(contains(refusal("adapter.type", "lora"), "is an adapter ('lora')"));
  EXPECT_TRUE(contains(refusal("general.type", "imatrix"), "is importance data"));
  EXPECT_TRUE(contains(refusal("general.type", "mmproj"), "pictures or sound"));
}

TEST(ConfigGguf, EveryIdThatEndsAnAnswerIsRead) {
  GgufMetadata m = lite_metadata();
  m.set_u32("tokenizer.ggml.eos_token_id", 1);
  m.set_u32("tokenizer.ggml.eot_token_id", 2);
  m.set_u32("tokenizer.ggml.eom_token_id", 3);
  EXPECT_EQ(read(m).eos_token_ids, (std::vector<int64_t>{1, 2, 3}));
  m.set_i32s("tokenizer.ggml.eos_token_ids", std::vector<int32_t>{3, 1, 4, 5});
  EXPECT_EQ(read(m).eos_token_ids, (std::vector<int64_t>{3, 1, 4, 5, 2}));
}

TEST(ConfigGguf, MinusOneIsNoToken) {
  GgufMetadata m = lite_metadata();
  m.set_u32("tokenizer.ggml.bos_token_id", 0xFFFFFFFFu);
  m.set_i32("tokenizer.ggml.padding_token_id", -1);
  m.set_u32("tokenizer.ggml.eot_token_id", 0xFFFFFFFFu);
  EXPECT_EQ(read(m), read(lite_metadata()));
  m.set_u64("tokenizer.ggml.bos_token_id", uint64_t{1} << 32);
  EXPECT_TRUE(contains(error_of([&] { read(m); }), "bos_token_id is 4294967296; a token id is needed"));
}

TEST(ConfigGguf, ASingleExpertsNormalisationIsNotWritten) {
  ModelConfig c = as_in_gguf(config_from_json(test::kV2Lite, "config.json"));
  c.norm_topk_prob = true;
  EXPECT_EQ(config_to_gguf(c).get_bool("deepseek2.expert_weights_norm"), true);
  c.num_experts_per_tok = 1;
  EXPECT_EQ(config_to_gguf(c).get_bool("deepseek2.expert_weights_norm"), false);
}

TEST(ConfigGguf, UnknownKeysAndValuesAreRefusedByName) {
  const auto refusal = [](auto&& change) {
    GgufMetadata m = lite_metadata();
    change(m);
    return error_of([&] { read(m); });
  };
  EXPECT_TRUE(contains(refusal([](auto& m) { m.set_u32("deepseek2.attention.sliding_window", 4); }),
                       "unknown key 'deepseek2.attention.sliding_window'"));
  EXPECT_TRUE(contains(refusal([](auto& m) { m.set_u32("llama.block_count", 4); }), "unknown key 'llama.block_count'"));
  EXPECT_TRUE(contains(refusal([](auto& m) { m.set_string("general.architecture", "glm4moe"); }),
                       "architecture 'glm4moe' is not supported"));
  EXPECT_TRUE(contains(refusal([](auto& m) { m.erase("general.architecture"); }), "general.architecture is missing"));
  EXPECT_TRUE(contains(refusal([](auto& m) { m.set_u32("deepseek2.expert_gating_func", 2); }),
                       "expert_gating_func is 2; fathom implements 1 only"));
  EXPECT_TRUE(
      contains(refusal([](auto& m) { m.set_u32("deepseek2.nextn_predict_layers", 1); }), "nextn_predict_layers is 1"));
  EXPECT_TRUE(contains(refusal([](auto& m) { m.set_string("deepseek2.rope.scaling.type", "longrope"); }),
                       "rope.scaling.type is 'longrope'"));
  EXPECT_TRUE(contains(refusal([](auto& m) { m.set_u32("deepseek2.attention.key_length", 192); }),
                       "do not fit kv_lora_rank 512"));
  EXPECT_TRUE(contains(refusal([](auto& m) { m.erase("deepseek2.attention.value_length_mla"); }), "only one is there"));
  EXPECT_TRUE(contains(refusal([](auto& m) { m.erase("deepseek2.block_count"); }), "deepseek2.block_count is missing"));
  EXPECT_TRUE(contains(refusal([](auto& m) { m.set_u32("deepseek2.block_count", 0); }), "num_hidden_layers is 0"));
  EXPECT_TRUE(contains(refusal([](auto& m) { m.set_string("deepseek2.block_count", "27"); }), "deepseek2.block_count"));
  EXPECT_TRUE(
      contains(refusal([](auto& m) { m.set_u32("deepseek2.attention.key_length_mla", 64); }), "qk_nope_head_dim is 0"));
}

}  // namespace
}  // namespace fathom
