// What a run depends on beside the weights: folder -> GGUF -> folder keeps it, or says what it does not keep.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "base/json/json.h"
#include "checkpoint/gguf.h"
#include "convert/convert.h"
#include "convert/synth/synth.h"
#include "load/text.h"
#include "support/files.h"
#include "support/tiny_configs.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::read_text;
using test::TempFolder;
using test::write_text;

class CarriedText : public ::testing::Test {
 protected:
  CarriedText() {
    ThreadPool pool(1);
    synth_model(pool, testing::small_config(Family::llama), folder_ / "a",
                {.seed = 1, .output = {.type = parse_written_type("BF16")}, .tokenizer = {}}, {});
  }
  std::vector<std::string> convert(std::string_view in, std::string_view out) {
    ThreadPool pool(1);
    return convert_model(pool, folder_ / in, folder_ / out, {}, {});
  }
  fs::path file(std::string_view folder, std::string_view name) { return folder_ / folder / name; }
  json::value json_of(std::string_view folder, std::string_view name) {
    return parse_json(read_text(file(folder, name)), std::string(name));
  }
  GgufMetadata metadata(std::string_view name) { return GgufSource::open(folder_ / name)->metadata(); }
  // a -> b.gguf -> c
  void there_and_back() {
    EXPECT_EQ(convert("a", "b.gguf"), std::vector<std::string>());
    EXPECT_EQ(convert("b.gguf", "c"), std::vector<std::string>());
  }

  TempFolder folder_;
};

TEST_F(CarriedText, EveryIdThatEndsAnAnswer) {
  const std::vector<int64_t> sets[] = {{383}, {383, 17}, {383, 300, 11}, {11, 383, 17, 300, 5}, {7, 9}};
  for (const std::vector<int64_t>& ids : sets) {
    write_text(file("a", "generation_config.json"), fmt::format(R"({{"eos_token_id": [{}]}})", fmt::join(ids, ", ")));
    there_and_back();
    const std::vector<int64_t> all = load_model(folder_ / "a").config.eos_token_ids;
    EXPECT_EQ(load_model(folder_ / "b.gguf").config.eos_token_ids, all);
    EXPECT_EQ(load_model(folder_ / "c").config.eos_token_ids, all);
    EXPECT_EQ(read_text(file("c", "generation_config.json")), read_text(file("a", "generation_config.json")));
    fs::remove(folder_ / "b.gguf");
    fs::remove_all(folder_ / "c");
  }
}

TEST_F(CarriedText, TheIdsHaveTheNamesOfOtherPrograms) {
  write_text(file("a", "generation_config.json"), R"({"eos_token_id": [383, 300, 11, 5]})");
  convert("a", "b.gguf");
  const GgufMetadata m = metadata("b.gguf");
  EXPECT_EQ(m.get_int("tokenizer.ggml.eos_token_id"), 383);
  EXPECT_EQ(m.get_int("tokenizer.ggml.eot_token_id"), 300);
  EXPECT_EQ(m.get_int("tokenizer.ggml.eom_token_id"), 11);
  EXPECT_EQ(m.get_ints("tokenizer.ggml.eos_token_ids"), (std::vector<int64_t>{383, 300, 11, 5}));
}

TEST_F(CarriedText, SamplingDefaults) {
  const std::string text =
      "{\"do_sample\": true, \"temperature\": 0.3, \"top_p\": 0.95, \"top_k\": 40,\n \"repetition_penalty\": 1.05, "
      "\"max_new_tokens\": 512}\n";
  write_text(file("a", "generation_config.json"), text);
  there_and_back();
  EXPECT_EQ(read_text(file("c", "generation_config.json")), text);
  const GgufMetadata m = metadata("b.gguf");
  EXPECT_EQ(m.get_float("general.sampling.temp"), 0.3f);
  EXPECT_EQ(m.get_int("general.sampling.top_k"), 40);
  EXPECT_EQ(m.get_float("general.sampling.top_p"), 0.95f);
  EXPECT_EQ(m.get_float("general.sampling.penalty_repeat"), 1.05f);
}

// A GGUF as llama.cpp's converter writes it, or edited since: the weights of b.gguf under other keys.
void rewrite(const fs::path& from, const fs::path& to, const std::function<void(GgufMetadata&)>& change) {
  const auto source = GgufSource::open(from);
  GgufMetadata m = source->metadata();
  change(m);
  std::vector<GgufTensorPlan> plan;
  for (const TensorInfo& t : source->tensors()) plan.push_back({t.name, t.dtype, t.shape});
  GgufWriter writer(to, m, plan);
  for (const TensorInfo& t : source->tensors()) writer.append(t.bytes);
  writer.finish();
}

TEST_F(CarriedText, SamplingDefaultsThatOthersWroteOrChanged) {
  write_text(file("a", "generation_config.json"), R"({"temperature": 0.3, "max_new_tokens": 5})");
  convert("a", "b.gguf");
  rewrite(folder_ / "b.gguf", folder_ / "edited.gguf", [](GgufMetadata& m) {
    m.set_f32("general.sampling.temp", 0.7f);
    m.set_f32("general.sampling.min_p", 0.05f);
  });
  convert("edited.gguf", "c");
  EXPECT_EQ(json_of("c", "generation_config.json"),
            parse_json(R"({"temperature": 0.7, "max_new_tokens": 5, "min_p": 0.05})", "w"));
  rewrite(folder_ / "b.gguf", folder_ / "foreign.gguf", [](GgufMetadata& m) {
    m.erase("fathom.generation_config");
    m.set_i32("general.sampling.top_k", 20);
  });
  convert("foreign.gguf", "d");
  const json::value d = json_of("d", "generation_config.json");
  EXPECT_EQ(d.at("temperature").as_double(), 0.3);
  EXPECT_EQ(d.at("top_k").as_int64(), 20);
  EXPECT_EQ(d.at("eos_token_id").as_int64(), 383);
  EXPECT_TRUE(d.at("do_sample").as_bool());
  rewrite(folder_ / "foreign.gguf", folder_ / "nan.gguf",
          [](GgufMetadata& m) { m.set_f32("general.sampling.temp", std::nanf("")); });
  convert("nan.gguf", "e");
  const json::value e = json_of("e", "generation_config.json");
  EXPECT_FALSE(e.as_object().contains("temperature") || e.as_object().contains("do_sample")) << "no number, no greed";
}

TEST_F(CarriedText, ChatTemplatesOfEveryName) {
  write_text(file("a", "chat_template.jinja"), "default text");
  fs::create_directory(folder_ / "a" / "additional_chat_templates");
  write_text(file("a", "additional_chat_templates/tool_use.jinja"), "tool text");
  there_and_back();
  const GgufMetadata m = metadata("b.gguf");
  EXPECT_EQ(m.get_string("tokenizer.chat_template"), "default text");
  EXPECT_EQ(m.get_string("tokenizer.chat_template.tool_use"), "tool text");
  EXPECT_EQ(m.get_strings("tokenizer.chat_templates"), std::vector<std::string>{"tool_use"});
  const ChatTemplates want{{"default", "default text"}, {"tool_use", "tool text"}};
  for (const char* name : {"a", "b.gguf", "c"})
    EXPECT_EQ(load_chat_templates(load_model(folder_ / name)), want) << name;
  convert("a", "copy");
  EXPECT_EQ(load_chat_templates(load_model(folder_ / "copy")), want);
}

TEST_F(CarriedText, TheTokenizersConfigAndMap) {
  const std::string map = R"({"bos_token": "<s>", "additional_special_tokens": []})";
  write_text(file("a", "special_tokens_map.json"), map);
  json::value config = json_of("a", "tokenizer_config.json");
  config.as_object()["model_max_length"] = 4096;
  config.as_object()["padding_side"] = "left";
  config.as_object()["tokenizer_class"] = "LlamaTokenizerFast";
  write_text(file("a", "tokenizer_config.json"), json::serialize(config));
  there_and_back();
  EXPECT_EQ(read_text(file("c", "special_tokens_map.json")), map);
  const json::value back = json_of("c", "tokenizer_config.json");
  EXPECT_EQ(back.at("model_max_length").as_int64(), 4096);
  EXPECT_EQ(back.at("padding_side").as_string(), "left");
  EXPECT_EQ(back.at("tokenizer_class").as_string(), "PreTrainedTokenizerFast")
      << "the class that reads what is written";
  EXPECT_EQ(back.at("bos_token"), config.at("bos_token"));
}

TEST_F(CarriedText, RowsOfPaddingAreNoTokens) {
  ThreadPool pool(1);
  ModelConfig c = testing::small_config(Family::llama);
  c.vocab_size = 400;
  synth_model(pool, c, folder_ / "padded",
              {.seed = 1, .output = {.type = parse_written_type("bf16")}, .tokenizer = folder_ / "a"}, {});
  convert("padded", "p.gguf");
  convert("p.gguf", "q");
  const auto types = *metadata("p.gguf").get_ints("tokenizer.ggml.token_type");
  ASSERT_EQ(types.size(), 400u);
  EXPECT_EQ(std::count(types.begin() + 384, types.end(), 5), 16);
  EXPECT_EQ(metadata("p.gguf").get_strings("tokenizer.ggml.tokens")->back(), "[PAD399]");
  for (const char* name : {"padded", "p.gguf", "q"}) {
    const Model model = load_model(folder_ / name);
    EXPECT_EQ(model.config.vocab_size, 400) << name;
    EXPECT_EQ(load_tokenizer(model).n_tokens(), 384) << name;
  }
}

TEST_F(CarriedText, WhatHasNoPlaceIsNamed) {
  convert("a", "b.gguf");
  rewrite(folder_ / "b.gguf", folder_ / "foreign.gguf", [](GgufMetadata& m) {
    m.set_string("general.license", "mit");
    m.set_string("mradermacher.quantized_by", "mradermacher");
    m.set_u32("tokenizer.ggml.fim_pre_token_id", 3);
    m.set_string("quantize.imatrix.file", "describes the file, not the model");
  });
  const std::vector<std::string> lost = convert("foreign.gguf", "c");
  ASSERT_EQ(lost.size(), 3u);
  EXPECT_TRUE(contains(lost[0], "general.license has no place in a folder: 'mit'"));
  EXPECT_TRUE(contains(lost[1], "mradermacher.quantized_by"));
  EXPECT_TRUE(contains(lost[2], "tokenizer.ggml.fim_pre_token_id"));
  EXPECT_EQ(convert("foreign.gguf", "same.gguf"), std::vector<std::string>());
  EXPECT_EQ(metadata("same.gguf").get_string("mradermacher.quantized_by"), "mradermacher");

  json::value config = json_of("a", "config.json");
  config.as_object()["bos_token_id"] = 1;
  write_text(file("a", "config.json"), json::serialize(config));
  const std::vector<std::string> ids = convert("a", "other.gguf");
  ASSERT_EQ(ids.size(), 1u);
  EXPECT_TRUE(contains(ids[0], "bos_token_id of config.json is 1, the tokenizer's is 382"));
}

}  // namespace
}  // namespace fathom
