#include "load/load.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cmath>
#include <cstring>

#include "checkpoint/gguf.h"
#include "checkpoint/names.h"
#include "checkpoint/safetensors.h"
#include "config/config_gguf.h"
#include "support/files.h"
#include "support/tiny_configs.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::error_of;
using test::TempFolder;
using test::write_text;

ModelConfig tiny(Family family = Family::deepseek_v2) {
  ModelConfig c = testing::small_config(family);
  c.vocab_size = 12;
  c.hidden_size = 8;
  c.intermediate_size = 10;
  c.num_attention_heads = c.num_key_value_heads = 2;
  if (c.uses_mla()) {
    c.kv_lora_rank = 6;
    c.qk_nope_head_dim = 4;
    c.qk_rope_head_dim = 2;
    c.v_head_dim = 3;
    c.rope_scaling.reset();
  } else {
    c.head_dim = 4;
  }
  c.bos_token_id.reset();
  c.eos_token_ids.clear();
  if (family == Family::llama) return c;
  c.n_routed_experts = 3;
  c.n_shared_experts = 1;
  c.moe_intermediate_size = 5;
  return c;
}

struct NamedTensor {
  std::string name;
  std::vector<int64_t> shape;
  DType dtype = DType::f32;
};
using Tensors = std::vector<NamedTensor>;

Tensors tensors_of(const ModelConfig& c) {
  Tensors out;
  ModelWeights w = empty_weights(c);
  for_each_tensor(w, c, [&](const std::string& name, Weight&, const Shape& shape) { out.push_back({name, shape}); });
  return out;
}

// Element i of tensor t, in the order of the file, is 1000 * t + i, so that a view can be recognised.
void write_folder(const fs::path& folder, const ModelConfig& c, const Tensors& tensors, float special = 0) {
  std::vector<PlannedTensor> plan;
  for (const NamedTensor& t : tensors) plan.push_back({t.name, t.dtype, t.shape});
  SafetensorsWriter writer(folder, plan, 1 << 30);
  float base = 0;
  for (const PlannedTensor& t : writer.plan()) {
    std::vector<float> values(t.bytes() / static_cast<uint64_t>(info(t.dtype).block_bytes));
    for (size_t i = 0; i < values.size(); ++i) values[i] = base + static_cast<float>(i);
    if (special != 0) values.back() = special;
    base += 1000;
    if (t.dtype == DType::f32) {
      writer.write(std::as_bytes(std::span(values)));
    } else {
      writer.write(std::vector<std::byte>(t.bytes()));
    }
  }
  writer.commit();
  write_text(folder / "config.json", config_to_json(c, "float32"));
}

float at(const Weight& w, int64_t row, int64_t col) {
  float f = 0;
  std::memcpy(&f, w.row(row) + col * 4, 4);
  return f;
}

TEST(Load, EveryCheckpointThatTransformersWroteLoads) {
  int n = 0;
  for (const auto& folder : fs::directory_iterator(fs::path(FATHOM_GOLDEN_DIR) / "models")) {
    if (!fs::exists(folder.path() / "config.json")) continue;
    Model model = load_model(folder.path());
    for_each_tensor(model.weights, model.config, [&](const std::string& name, Weight& w, const Shape& shape) {
      EXPECT_TRUE(w) << name;
      EXPECT_EQ(w.cols, shape.back()) << name;
    });
    ThreadPool pool(1);
    EXPECT_TRUE(find_non_finite(pool, model).empty()) << folder.path();
    ++n;
  }
  EXPECT_GE(n, 12);
}

TEST(Load, ViewsPointIntoTheFileAndExpertsMayBeStacked) {
  const TempFolder folder;
  const ModelConfig c = tiny();
  write_folder(folder / "apart", c, tensors_of(c));
  Tensors stacked;
  for (const NamedTensor& t : tensors_of(c)) {
    const bool expert = t.name.find(".experts.") != std::string::npos;
    if (!expert)
      stacked.push_back(t);
    else if (t.name.ends_with("experts.0.gate_proj.weight"))
      stacked.push_back({"model.layers.1.mlp.experts.gate_up_proj", {3, 10, 8}});
    else if (t.name.ends_with("experts.0.down_proj.weight"))
      stacked.push_back({"model.layers.1.mlp.experts.down_proj", {3, 8, 5}});
  }
  write_folder(folder / "stacked", c, stacked);
  const Model apart = load_model(folder / "apart"), together = load_model(folder / "stacked");
  const TensorInfo* norm = apart.source->find("model.norm.weight");
  EXPECT_EQ(apart.weights.norm.data, norm->bytes.data());
  EXPECT_EQ(apart.weights.norm.rows, 1);
  EXPECT_EQ(apart.weights.norm.cols, 8);
  const auto& moe = std::get<MoeWeights>(together.weights.layers[1].mlp);
  const TensorInfo* gate_up = together.source->find("model.layers.1.mlp.experts.gate_up_proj");
  const TensorInfo* down = together.source->find("model.layers.1.mlp.experts.down_proj");
  for (int64_t e = 0; e < 3; ++e) {
    const MlpWeights& expert = moe.experts[static_cast<size_t>(e)];
    EXPECT_EQ(expert.gate_proj.data, gate_up->bytes.data() + e * 10 * 8 * 4);
    EXPECT_EQ(expert.up_proj.data, gate_up->bytes.data() + (e * 10 + 5) * 8 * 4);
    EXPECT_EQ(expert.up_proj.rows, 5);
    EXPECT_EQ(expert.down_proj.data, down->bytes.data() + e * 8 * 5 * 4);
  }
}

TEST(Load, ExpertsMayBeStackedAsMlxDoes) {
  const TempFolder folder;
  const ModelConfig c = tiny();
  Tensors stacked;
  for (const NamedTensor& t : tensors_of(c)) {
    if (t.name.find(".experts.") == std::string::npos) stacked.push_back(t);
    if (!t.name.starts_with("model.layers.1.mlp.experts.0.")) continue;
    const std::string part = t.name.substr(t.name.rfind('.', t.name.rfind('.') - 1));
    stacked.push_back({"model.layers.1.mlp.switch_mlp" + part, {3, t.shape[0], t.shape[1]}});
  }
  write_folder(folder / "mlx", c, stacked);
  const Model model = load_model(folder / "mlx");
  const auto& moe = std::get<MoeWeights>(model.weights.layers[1].mlp);
  const auto bytes = [&](const char* part) {
    return model.source->find(fmt::format("model.layers.1.mlp.switch_mlp.{}.weight", part))->bytes.data();
  };
  for (int64_t e = 0; e < 3; ++e) {
    const MlpWeights& expert = moe.experts[static_cast<size_t>(e)];
    EXPECT_EQ(expert.gate_proj.data, bytes("gate_proj") + e * 5 * 8 * 4);
    EXPECT_EQ(expert.up_proj.data, bytes("up_proj") + e * 5 * 8 * 4);
    EXPECT_EQ(expert.down_proj.data, bytes("down_proj") + e * 8 * 5 * 4);
    EXPECT_EQ(expert.down_proj.rows, 8);
  }
}

// What bitsandbytes, torchao, compressed-tensors, AutoRound, GPTQModel, AutoAWQ, HQQ and MLX write into config.json,
// over tensors of types that fathom does not know.
TEST(Load, AQuantisedFolderIsRefusedByItsMethodBeforeItsTensors) {
  const struct {
    std::string_view keys, message;
  } cases[] = {
      {R"("quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": true})", "'bitsandbytes'"},
      {R"("quantization_config": {"quant_method": "torchao", "quant_type": {}})", "'torchao'"},
      {R"("quantization_config": {"quant_method": "compressed-tensors"})", "'compressed-tensors'"},
      {R"("quantization_config": {"quant_method": "auto-round", "bits": 4})", "'auto-round'"},
      {R"("quantization_config": {"quant_method": "gptq", "bits": 4})", "'gptq'"},
      {R"("quantization_config": {"quant_method": "awq", "bits": 4})", "'awq'"},
      {R"("quantization_config": {"quant_method": "hqq"})", "'hqq'"},
      {R"("quantization_config": {"group_size": 64, "bits": 4})", "MLX"},
      {R"("quantization": {"group_size": 64, "bits": 4})", "MLX"},
  };
  const TempFolder folder;
  const ModelConfig c = tiny(Family::llama);
  const std::string plain = config_to_json(c, "float32");
  for (const auto& given : cases) {
    write_text(folder / "config.json", fmt::format("{{{}, {}", given.keys, plain.substr(plain.find('{') + 1)));
    write_text(folder / "model.safetensors", "these bytes are not looked at");
    const std::string said = error_of([&] { load_model(folder.path()); });
    EXPECT_TRUE(contains(said, fmt::format("the weights were quantised by {}", given.message))) << said;
    EXPECT_TRUE(contains(said, "`fathom quantize`")) << said;
  }
}

TEST(Load, AGgufFileGivesTheSameTreeInEveryLayoutOfKvB) {
  const TempFolder folder;
  const ModelConfig c = tiny();
  for (const std::string layout : {"whole", "split", "split without the heads' dimension"}) {
    const bool split = layout != "whole";
    std::vector<GgufTensorPlan> plan;
    ModelWeights w = empty_weights(c, split);
    for_each_tensor(w, c, [&](const std::string& name, Weight&, const Shape& shape) {
      const auto parsed = *parse_hf_name(name);
      std::vector<int64_t> stored = shape;
      if (parsed.expert && *parsed.expert > 0) return;
      if (parsed.expert) stored.insert(stored.begin(), 3);
      if (layout == "split" && name.ends_with(".k_b_proj.weight")) stored = {2, 6, 4};
      if (layout == "split" && name.ends_with(".v_b_proj.weight")) stored = {2, 3, 6};
      plan.push_back({gguf_name(parsed), DType::f32, stored});
    });
    GgufMetadata metadata = config_to_gguf(c);
    if (!split) {  // what files before key_length_mla say
      metadata.set_u32("deepseek2.attention.head_count_kv", 2);
      metadata.set_u32("deepseek2.attention.key_length", 6);
      metadata.set_u32("deepseek2.attention.value_length", 3);
      metadata.erase("deepseek2.attention.key_length_mla");
      metadata.erase("deepseek2.attention.value_length_mla");
    }
    const fs::path path = folder / (layout + ".gguf");
    GgufWriter writer(path, metadata, plan);
    while (const GgufTensorPlan* t = writer.current()) {
      size_t n = 4;
      for (const int64_t d : t->shape) n *= static_cast<size_t>(d);
      writer.append(std::vector<std::byte>(n));
    }
    writer.finish();
    const Model model = load_model(path);
    EXPECT_EQ(model.weights.split_kv_b, split);
    const auto& mla = std::get<MlaWeights>(model.weights.layers[0].self_attn);
    EXPECT_EQ(static_cast<bool>(mla.kv_b_proj), !split);
    EXPECT_EQ(mla.k_b_proj.rows, split ? 12 : 0);
    EXPECT_EQ(mla.k_b_proj.cols, split ? 4 : 0);
    EXPECT_EQ(mla.v_b_proj.rows, split ? 6 : 0);
    const auto& moe = std::get<MoeWeights>(model.weights.layers[1].mlp);
    EXPECT_EQ(moe.experts[2].up_proj.data,
              model.source->find("blk.1.ffn_up_exps.weight")->bytes.data() + 2 * 5 * 8 * 4);
  }
}

TEST(Load, ATiedHeadIsTheEmbedding) {
  const TempFolder folder;
  ModelConfig c = tiny(Family::llama);
  c.tie_word_embeddings = true;
  write_folder(folder / "m", c, tensors_of(c));
  const Model model = load_model(folder / "m");
  EXPECT_EQ(model.weights.lm_head.data, model.weights.embed_tokens.data);
  EXPECT_EQ(model.weights.lm_head.rows, 12);
  EXPECT_EQ(at(model.weights.embed_tokens, 1, 2), 10.0f);
}

TEST(Load, AHeadBesideTiedEmbeddingsMustBeEqual) {
  const TempFolder folder;
  ModelConfig c = tiny(Family::llama);
  c.tie_word_embeddings = true;
  Tensors tensors = tensors_of(c);
  tensors.push_back({"lm_head.weight", {12, 8}});
  write_folder(folder / "m", c, tensors);  // numbers of its own
  EXPECT_TRUE(contains(error_of([&] { load_model(folder / "m"); }), "'lm_head.weight' is there beside"));
  const fs::path file = folder.path() / "m" / "model.safetensors";
  std::string bytes = test::read_text(file);
  const SafetensorsSource source(file);
  const auto at_byte = [&](const char* name) {
    return source.find(name)->bytes.data() - source.files()[0].bytes().data();
  };
  std::memcpy(bytes.data() + at_byte("lm_head.weight"), bytes.data() + at_byte("model.embed_tokens.weight"),
              12 * 8 * 4);
  write_text(folder.path() / "m" / "same", bytes);
  fs::rename(folder.path() / "m" / "same", file);
  const Model model = load_model(folder / "m");
  ASSERT_FALSE(model.notes.empty());
  EXPECT_TRUE(contains(model.notes.back(), "'lm_head.weight' (equal to model.embed_tokens.weight"));
}

TEST(Load, BothFormsOfKvBMayBeThereWhereTheySayTheSame) {
  const TempFolder folder;
  const ModelConfig c = tiny();  // 2 heads, N 4, V 3, C 6
  const auto number = [](int64_t layer, int64_t h, int64_t row, int64_t latent) {
    return static_cast<float>(1000 * layer + 100 * h + 10 * row + latent + 1);  // row: N of keys, then V of values
  };
  const auto write = [&](const fs::path& path, float error) {
    std::vector<GgufTensorPlan> plan;
    ModelWeights w = empty_weights(c, /*split_kv_b=*/true);
    for_each_tensor(w, c, [&](const std::string& name, Weight&, const Shape& shape) {
      const auto parsed = *parse_hf_name(name);
      std::vector<int64_t> stored = shape;
      if (parsed.expert && *parsed.expert > 0) return;
      if (parsed.expert) stored.insert(stored.begin(), 3);
      if (parsed.part == "self_attn.k_b_proj") stored = {2, 6, 4};
      if (parsed.part == "self_attn.v_b_proj") stored = {2, 3, 6};
      plan.push_back({gguf_name(parsed), DType::f32, stored});
    });
    for (int64_t layer = 0; layer < 2; ++layer)
      plan.push_back({fmt::format("blk.{}.attn_kv_b.weight", layer), DType::f32, {14, 6}});
    GgufWriter writer(path, config_to_gguf(c), plan);
    while (const GgufTensorPlan* t = writer.current()) {
      size_t n = 1;
      for (const int64_t d : t->shape) n *= static_cast<size_t>(d);
      std::vector<float> x(n);
      const int64_t layer = t->name.starts_with("blk.1") ? 1 : 0;
      for (int64_t i = 0; i < std::ssize(x); ++i) {
        auto& out = x[static_cast<size_t>(i)];
        if (t->name.ends_with("attn_k_b.weight")) out = number(layer, i / 24, i % 4, i / 4 % 6);
        if (t->name.ends_with("attn_v_b.weight")) out = number(layer, i / 18, 4 + i / 6 % 3, i % 6);
        if (t->name.ends_with("attn_kv_b.weight"))
          out = number(layer, i / 42, i / 6 % 7, i % 6) + (i == 83 ? error : 0);
      }
      writer.append(std::as_bytes(std::span(x)));
    }
    writer.finish();
  };
  write(folder / "same.gguf", 0);
  const Model model = load_model(folder / "same.gguf");
  EXPECT_TRUE(model.weights.split_kv_b);
  EXPECT_EQ(model.notes, std::vector<std::string>{
                             "'blk.0.attn_kv_b.weight' and 1 more (equal to attn_k_b and attn_v_b, which are used)"});
  write(folder / "differs.gguf", 1);
  EXPECT_TRUE(
      contains(error_of([&] { load_model(folder / "differs.gguf"); }), "'blk.0.attn_kv_b.weight' is there beside"));
}

TEST(Load, MissingSurplusAndMisshapenTensorsAreRefusedByName) {
  const TempFolder folder;
  const ModelConfig c = tiny();
  int n = 0;
  const auto refusal = [&](auto&& change) {
    Tensors tensors = tensors_of(c);
    change(tensors);
    const fs::path path = folder / std::to_string(n++);
    write_folder(path, c, tensors);
    return error_of([&] { load_model(path); });
  };
  const auto rename = [](const char* from, const char* to) {
    return [=](Tensors& ts) {
      for (NamedTensor& t : ts)
        if (t.name == from) t.name = to;
    };
  };
  EXPECT_TRUE(contains(refusal(rename("model.norm.weight", "model.norm.weights")),
                       "tensor model.norm.weight is missing; the config (hidden_size 8) needs it"));
  EXPECT_TRUE(contains(refusal(rename("model.layers.1.mlp.experts.2.up_proj.weight", "x")),
                       "model.layers.1.mlp.experts.2.up_proj.weight is missing"));
  EXPECT_TRUE(
      contains(refusal([](Tensors& ts) {
                 ts.push_back({"model.layers.1.mlp.gate.e_score_correction_bias", {3}});
               }),
               "'model.layers.1.mlp.gate.e_score_correction_bias' of shape [3] is not part of this deepseek_v2 model"));
  EXPECT_TRUE(contains(refusal([](Tensors& ts) {
                         ts.push_back({"model.layers.2.input_layernorm.weight", {8}});
                       }),
                       "(2 layers)"));
  const std::string shape = refusal([](Tensors& ts) {
    for (NamedTensor& t : ts)
      if (t.name == "model.layers.1.self_attn.kv_a_proj_with_mqa.weight") t.shape = {6, 8};
  });
  EXPECT_TRUE(contains(shape,
                       "model.safetensors: tensor model.layers.1.self_attn.kv_a_proj_with_mqa.weight has shape [6, 8]; "
                       "the config (kv_lora_rank 6 + qk_rope_head_dim 2, hidden_size 8) needs [8, 8]"));
  EXPECT_EQ(refusal([](Tensors& ts) { ts.push_back({"model.layers.0.self_attn.rotary_emb.inv_freq", {1}}); }), "");
}

TEST(Load, EveryTensorsShapeHasAReason) {
  for (const Family family : {Family::deepseek_v2, Family::deepseek, Family::llama}) {
    for (const bool query_latent : {false, true}) {
      ModelConfig c = tiny(family);
      if (query_latent && c.uses_mla()) {
        c.q_lora_rank = 4;
        c.topk_method = TopkMethod::noaux_tc;
      }
      ModelWeights w = empty_weights(c, query_latent);
      for_each_tensor(
          w, c, [&](const std::string& name, Weight&, const Shape&) { EXPECT_NE(shape_reason(name, c), "") << name; });
    }
  }
}

TEST(Load, Float8NeedsItsScales) {
  const TempFolder folder;
  const ModelConfig c = tiny(Family::llama);
  Tensors tensors = tensors_of(c);
  for (NamedTensor& t : tensors)
    if (t.name.ends_with("o_proj.weight")) t.dtype = DType::f8_e4m3;
  write_folder(folder / "bare", c, tensors);
  EXPECT_TRUE(contains(error_of([&] { load_model(folder / "bare"); }),
                       "is F8_E4M3 but model.layers.0.self_attn.o_proj.weight_scale_inv is missing"));
  for (int i = 0; i < 2; ++i)
    tensors.push_back({fmt::format("model.layers.{}.self_attn.o_proj.weight_scale_inv", i), {1, 1}});
  write_folder(folder / "scaled", c, tensors);
  const Model model = load_model(folder / "scaled");
  const auto& gqa = std::get<GqaWeights>(model.weights.layers[0].self_attn);
  EXPECT_EQ(gqa.o_proj.dtype, DType::f8_e4m3);
  EXPECT_NE(gqa.o_proj.scale_inv, nullptr);
  EXPECT_EQ(gqa.o_proj.scale_cols, 1);
  tensors.back().shape = {1, 2};
  write_folder(folder / "wrong", c, tensors);
  EXPECT_TRUE(contains(error_of([&] { load_model(folder / "wrong"); }), "one F32 for each block of 128 x 128"));
}

TEST(Load, NonFiniteWeightsAreNamed) {
  const TempFolder folder;
  const ModelConfig c = tiny(Family::llama);
  ThreadPool pool(2);
  for (const float special : {NAN, INFINITY, -INFINITY}) {
    write_folder(folder / "bad", c, tensors_of(c), special);
    Model model = load_model(folder / "bad");
    const auto found = find_non_finite(pool, model);
    EXPECT_EQ(found.size(), tensors_of(c).size());
    EXPECT_EQ(found.front(), "model.embed_tokens.weight, row 11");
  }
}

TEST(Load, WhatIsNoModelIsExplained) {
  const TempFolder folder;
  const auto refusal = [&](std::string_view name) { return error_of([&] { load_model(folder / name); }); };
  EXPECT_TRUE(contains(refusal("nothing"), "there is no such file or folder"));
  fs::create_directory(folder / "empty");
  EXPECT_TRUE(contains(refusal("empty"), "is no model: it holds neither model.safetensors nor"));
  fs::create_directory(folder / "pickle");
  write_text(folder.path() / "pickle" / "pytorch_model.bin", "x");
  EXPECT_TRUE(contains(refusal("pickle"), "holds pytorch_model.bin, a Python pickle"));
  fs::create_directory(folder / "gguf");
  write_text(folder.path() / "gguf" / "a.gguf", "GGUF");
  EXPECT_TRUE(contains(refusal("gguf"), "is a folder of GGUF files"));
  write_text(folder / "page.gguf", "<html>Not found</html>");
  EXPECT_TRUE(contains(refusal("page.gguf"), "is an HTML page"));
  write_text(folder / "noise", "abcdefgh");
  EXPECT_TRUE(contains(refusal("noise"), "neither a GGUF nor a safetensors file"));
  ASSERT_EQ(::mkfifo((folder / "fifo").c_str(), 0600), 0);
  EXPECT_TRUE(contains(refusal("fifo"), "is a FIFO"));
  const ModelConfig c = tiny(Family::llama);
  write_folder(folder / "m", c, tensors_of(c));
  EXPECT_TRUE(contains(error_of([&] { load_model(folder.path() / "m" / "config.json"); }), "name the folder"));
  fs::remove(folder.path() / "m" / "config.json");
  EXPECT_TRUE(contains(refusal("m"), "there is no config.json beside the weights"));
}

}  // namespace
}  // namespace fathom
