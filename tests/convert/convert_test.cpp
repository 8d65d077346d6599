#include "convert/convert.h"

#include <gtest/gtest.h>

#include <cstring>

#include "convert/synth/shapes.h"
#include "convert/synth/synth.h"
#include "load/text.h"
#include "support/files.h"
#include "support/tiny_configs.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::error_of;
using test::TempFolder;

// With a score bias in each router.
ModelConfig biased() {
  ModelConfig c = testing::small_config(Family::deepseek_v2);
  c.topk_method = TopkMethod::noaux_tc;
  return c;
}

OutputOptions as(const char* type) { return {.type = parse_written_type(type), .max_shard_bytes = 0}; }
constexpr Family kFamilies[] = {Family::deepseek_v2, Family::deepseek, Family::llama};

void synth(const ModelConfig& c, const fs::path& out, const char* type, uint64_t seed = 7, int threads = 2) {
  ThreadPool pool(threads);
  synth_model(pool, c, out, {.seed = seed, .output = as(type), .tokenizer = {}}, {});
}

void convert(const fs::path& in, const fs::path& out, const OutputOptions& options = {}) {
  ThreadPool pool(2);
  convert_model(pool, in, out, options, {});
}

std::vector<float> numbers(const Rows& rows) {
  std::vector<float> x(static_cast<size_t>(rows.rows * rows.cols));
  rows.decode(0, rows.rows, x.data());
  return x;
}

// Calls fn(name, numbers in a, numbers in b) for every tensor, both in the layout of folders.
template <class Fn>
void for_each_pair(const fs::path& a, const fs::path& b, Fn&& fn) {
  Model model_a = load_model(a), model_b = load_model(b);
  const ModelConfig& c = model_a.config;
  const ModelRows rows_a = in_layout(rows_of_model(model_a), folder_layout(c));
  const ModelRows rows_b = in_layout(rows_of_model(model_b), folder_layout(c));
  ModelWeights tree = empty_weights(c);
  for_each_tensor(tree, c, [&](const std::string& name, Weight&, const Shape&) {
    fn(name, numbers(rows_a.find(name)), numbers(rows_b.find(name)));
  });
}

void expect_same_numbers(const fs::path& a, const fs::path& b) {
  for_each_pair(a, b, [&](const std::string& name, const auto& x, const auto& y) { EXPECT_EQ(x, y) << name; });
}

std::string bytes_of(const fs::path& path) { return test::read_text(path); }

TEST(Convert, FolderToGgufAndBackGivesTheSameBytes) {
  for (const ModelConfig& c : {testing::small_config(kFamilies[0]), testing::small_config(kFamilies[1]),
                               testing::small_config(kFamilies[2]), biased()}) {
    for (const char* type : {"f32", "f16", "bf16"}) {
      const TempFolder folder;
      synth(c, folder / "a", type);
      convert(folder / "a", folder / "b.gguf");
      expect_same_numbers(folder / "a", folder / "b.gguf");
      convert(folder / "b.gguf", folder / "c", as(type));
      for (const char* file :
           {"model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json", "generation_config.json"})
        EXPECT_EQ(bytes_of(folder.path() / "a" / file), bytes_of(folder.path() / "c" / file))
            << name(c.family) << type << file;
    }
  }
}

TEST(Convert, AScoreBiasStaysFloat32) {
  for (const char* type : {"f16", "bf16", "f8_e4m3", "q4_0"}) {
    const TempFolder folder;
    const fs::path out = folder / (std::string(type) == "q4_0" ? "b.gguf" : "b");
    synth(biased(), folder / "a", "f32");
    convert(folder / "a", out, as(type));
    int n = 0;
    for_each_pair(folder / "a", out, [&](const std::string& name, const auto& x, const auto& y) {
      if (!name.ends_with("e_score_correction_bias")) return;
      EXPECT_EQ(x, y) << type;
      ++n;
    });
    EXPECT_EQ(n, 1);
  }
}

TEST(Convert, EveryCheckpointOfTransformersSurvivesTheWayThroughGguf) {
  int n = 0;
  for (const auto& entry : fs::directory_iterator(fs::path(FATHOM_GOLDEN_DIR) / "models")) {
    if (!fs::exists(entry.path() / "config.json")) continue;
    const TempFolder folder;
    const std::string refusal = error_of([&] { convert(entry.path(), folder / "m.gguf", as("f32")); });
    if (!refusal.empty()) {
      EXPECT_TRUE(contains(refusal, "GGUF has")) << entry.path();
      EXPECT_TRUE(fs::is_empty(folder.path()));
      continue;
    }
    expect_same_numbers(entry.path(), folder / "m.gguf");
    ++n;
  }
  EXPECT_GE(n, 12);
}

TEST(Convert, KeptTypesAreCopiedBlockByBlock) {
  for (const char* type : {"q8_0", "q4_0", "q5_1", "bf16"}) {
    const TempFolder folder;
    synth(testing::small_config(Family::llama), folder / "a.gguf", type);
    convert(folder / "a.gguf", folder / "b.gguf");
    expect_same_numbers(folder / "a.gguf", folder / "b.gguf");
    EXPECT_EQ(fs::file_size(folder / "a.gguf"), fs::file_size(folder / "b.gguf")) << type;
  }
}

TEST(Convert, Float8BlocksStayNearAndAreCopiedAsTheyAre) {
  const TempFolder folder;
  ModelConfig c = testing::small_config(Family::deepseek_v2);
  c.hidden_size = 160;  // two blocks, the second not whole
  synth(c, folder / "f32", "f32");
  convert(folder / "f32", folder / "f8", as("f8_e4m3"));
  // Four significant bits: half a step is 2^-4 of the number. Below 2^-6 / 448 of the block's largest the step is
  // fixed, 2^-9 / 448 of it.
  for_each_pair(folder / "f32", folder / "f8", [](const std::string& name, const auto& x, const auto& y) {
    const float largest =
        std::abs(*std::max_element(x.begin(), x.end(), [](float p, float q) { return std::abs(p) < std::abs(q); }));
    for (size_t i = 0; i < x.size(); ++i)
      ASSERT_LE(std::abs(x[i] - y[i]), 0.0626f * std::abs(x[i]) + largest * 0x1p-10f / 448) << name << " element " << i;
  });
  convert(folder / "f8", folder / "again");
  EXPECT_EQ(bytes_of(folder.path() / "f8" / "model.safetensors"),
            bytes_of(folder.path() / "again" / "model.safetensors"));
  convert(folder / "f8", folder / "f8.gguf", as("f32"));
  expect_same_numbers(folder / "f8", folder / "f8.gguf");
}

TEST(Convert, ShardsHoldTheSameModel) {
  const TempFolder folder;
  synth(testing::small_config(Family::deepseek), folder / "a", "bf16");
  convert(folder / "a", folder / "shards", {.type = {}, .max_shard_bytes = 40'000});
  EXPECT_TRUE(fs::exists(folder.path() / "shards" / "model.safetensors.index.json"));
  expect_same_numbers(folder / "a", folder / "shards");
  convert(folder / "a", folder / "s.gguf", {.type = {}, .max_shard_bytes = 40'000});
  EXPECT_FALSE(fs::exists(folder / "s.gguf"));
  fs::path first;
  for (const auto& f : fs::directory_iterator(folder.path()))
    if (f.path().filename().string().starts_with("s-00001-of-")) first = f.path();
  expect_same_numbers(folder / "a", first);
}

TEST(Convert, TheTokenizerAndTheChatTemplateAreCarried) {
  const TempFolder folder;
  synth(testing::small_config(Family::llama), folder / "a", "bf16");
  test::write_text(folder.path() / "a" / "chat_template.jinja", "{{ messages[0]['content'] }}");
  convert(folder / "a", folder / "b.gguf");
  convert(folder / "b.gguf", folder / "c");
  const std::string text = "Hello there, the 99 others: \xE4\xBD\xA0";
  const Tokenizer a = load_tokenizer(folder / "a"), b = load_tokenizer(folder / "b.gguf"),
                  c = load_tokenizer(folder / "c");
  EXPECT_EQ(a.encode(text), b.encode(text));
  EXPECT_EQ(a.encode(text), c.encode(text));
  EXPECT_EQ(a.decode(a.encode(text, {.add_special = false})), text);
  EXPECT_EQ(a.encode(text).front(), 382);
  for (const char* name : {"a", "b.gguf", "c"})
    EXPECT_EQ(load_chat_templates(load_model(folder / name)),
              (ChatTemplates{{"default", "{{ messages[0]['content'] }}"}}))
        << name;
}

TEST(Convert, ATrailingSlashNamesTheFolder) {
  const TempFolder folder;
  synth(testing::small_config(Family::llama), folder.path().string() + "/a/", "bf16");
  convert(folder.path().string() + "/a/", folder.path().string() + "/b/");
  convert(folder.path().string() + "/b/", folder / "c.gguf");
  EXPECT_EQ(GgufSource::open(folder / "c.gguf")->metadata().get_string("general.name"), "b");
}

TEST(Convert, SeveralEndIdsAreCarried) {
  const TempFolder folder;
  synth(testing::small_config(Family::llama), folder / "a", "bf16");
  test::write_text(folder.path() / "a" / "generation_config.json",
                   R"({"eos_token_id": [383, 17], "temperature": 0.3})");
  EXPECT_EQ(load_model(folder / "a").config.eos_token_ids, (std::vector<int64_t>{383, 17}));
  convert(folder / "a", folder / "b.gguf");
  EXPECT_EQ(load_model(folder / "b.gguf").config.eos_token_ids, (std::vector<int64_t>{383, 17}));
}

TEST(Convert, AFailedWriteLeavesNothingBehindAndNothingIsOverwritten) {
  const TempFolder folder;
  synth(testing::small_config(Family::llama), folder / "a", "f32");
  const auto refusal = [&](std::string_view out, const char* type) {
    return error_of([&] { convert(folder / "a", folder / out, as(type)); });
  };
  EXPECT_TRUE(contains(refusal("b", "q4_0"), "q4_0 has no form in safetensors"));
  EXPECT_TRUE(contains(refusal("b.gguf", "f8_e4m3"), "GGUF has no F8_E4M3"));
  EXPECT_TRUE(contains(refusal("a", "f32"), "exists already"));
  EXPECT_TRUE(contains(refusal("no/b.gguf", "f32"), "does not exist"));
  EXPECT_TRUE(contains(refusal("b.safetensors", "f32"), "name a folder"));
  EXPECT_TRUE(contains(error_of([] { parse_written_type("q7"); }), "there is no such element type"));
  EXPECT_TRUE(contains(error_of([] { parse_written_type(""); }), "there is no such element type"));
  EXPECT_TRUE(contains(error_of([] { parse_written_type("IQ2_XXS"); }), "iq2_xxs is one of llama.cpp's types below 4"));
  EXPECT_TRUE(contains(error_of([] { parse_written_type("IQ4_KS"); }), "iq4_ks is one of ik_llama.cpp's own types"));
  EXPECT_EQ(parse_written_type("Q5_K_M").type, OutputType::q5_k_m);
  EXPECT_TRUE(parse_written_type("F8_E4M3").f8_blocks);
  // A number that the type cannot hold, in the last tensor.
  const fs::path weights = folder.path() / "a" / "model.safetensors";
  std::string bytes = bytes_of(weights);
  const float huge = 1e30f;
  std::memcpy(bytes.data() + bytes.size() - 4, &huge, 4);
  test::write_text(weights, bytes);
  EXPECT_TRUE(contains(refusal("b", "f16"), "holds a number that f16 cannot"));
  EXPECT_TRUE(contains(refusal("b.gguf", "f16"), "holds a number that f16 cannot"));
  EXPECT_EQ(std::distance(fs::directory_iterator(folder.path()), fs::directory_iterator()), 1);
}

TEST(Convert, ASmallModelFitsASmallDiskAndOneTooLargeIsRefusedWithTheNumbers) {
  const RoomNeeded small = room_needed(260'000, 67, 20'000);
  EXPECT_EQ(small.weights, 260'000u);
  EXPECT_EQ(small.beside, 20'000u + 67u * 1024u + 2'600u);
  EXPECT_EQ(error_of([&] { check_room("m.gguf", small, 60'000'000); }), "");
  EXPECT_EQ(error_of([&] { check_room("m.gguf", small, small.weights + small.beside); }), "");
  EXPECT_TRUE(contains(error_of([&] { check_room("m.gguf", small, small.weights + small.beside - 1); }),
                       "m.gguf: the weights take 260.00 kB, and 91.21 kB more are needed"));
  const RoomNeeded large = room_needed(100'000'000'000, 500, 0);
  EXPECT_EQ(large.beside, 500u * 1024u + (64u << 20)) << "what a file system needs does not grow without end";
  EXPECT_TRUE(contains(error_of([&] { check_room("m", large, 1'000'000'000); }), "but the disk has 1.00 GB free"));
}

TEST(Synth, TheBytesDoNotDependOnThreadsAndTheNumbersNotOnTheContainer) {
  for (const Family family : kFamilies) {
    const TempFolder folder;
    const ModelConfig c = testing::small_config(family);
    synth(c, folder / "one.gguf", "q4_0", 3, /*threads=*/1);
    synth(c, folder / "three.gguf", "q4_0", 3, /*threads=*/3);
    EXPECT_EQ(bytes_of(folder / "one.gguf"), bytes_of(folder / "three.gguf"));
    synth(c, folder / "folder", "f32", 3);
    synth(c, folder / "f32.gguf", "f32", 3);
    expect_same_numbers(folder / "folder", folder / "f32.gguf");
    synth(c, folder / "other", "f32", 4);
    EXPECT_NE(bytes_of(folder.path() / "folder" / "model.safetensors"),
              bytes_of(folder.path() / "other" / "model.safetensors"));
  }
}

TEST(Synth, WeightsHaveTheStatedScales) {
  const ModelRows model = random_model(*shape_by_name("tiny"), 1);
  const auto expect = [&](const std::string& name, double mean, double deviation) {
    double sum = 0, squares = 0;
    const std::vector<float> x = numbers(model.find(name));
    for (const float v : x) sum += v, squares += static_cast<double>(v) * v;
    const double n = static_cast<double>(x.size()), m = sum / n, d = std::sqrt(squares / n - m * m);
    EXPECT_NEAR(m, mean, 5 * deviation / std::sqrt(n)) << name;           // five standard errors of the mean,
    EXPECT_NEAR(d, deviation, 5 * deviation / std::sqrt(2 * n)) << name;  // and of the deviation
  };
  expect("model.embed_tokens.weight", 0, 1);
  expect("lm_head.weight", 0, 3 / std::sqrt(128.0));
  expect("model.norm.weight", 1, 0.1);
  expect("model.layers.1.self_attn.o_proj.weight", 0, 1 / std::sqrt(128.0) / std::sqrt(8.0));
  expect("model.layers.2.mlp.experts.5.gate_proj.weight", 0, 1 / std::sqrt(128.0));
}

TEST(Synth, TakesATokenizerThatFits) {
  const TempFolder folder;
  synth(testing::small_config(Family::llama), folder / "a", "bf16");
  ModelConfig c = testing::small_config(Family::llama);
  c.vocab_size = 100;
  ThreadPool pool(1);
  const SynthOptions options{.seed = 1, .output = as("bf16"), .tokenizer = folder / "a"};
  EXPECT_TRUE(contains(error_of([&] { synth_model(pool, c, folder / "b", options, {}); }),
                       "the tokenizer has 384 tokens, but vocab_size of the shape is 100"));
  c.vocab_size = 500;
  synth_model(pool, c, folder / "b.gguf", options, {});
  EXPECT_EQ(load_tokenizer(folder / "b.gguf").encode("the"), load_tokenizer(folder / "a").encode("the"));
}

TEST(Synth, AVocabularyTooSmallForBytesIsLeftOut) {
  const TempFolder folder;
  ModelConfig c = testing::small_config(Family::llama);
  c.vocab_size = 100;
  c.bos_token_id = 1;
  c.eos_token_ids = {2};
  for (const char* out : {"a", "b.gguf"}) {
    synth(c, folder / out, "bf16");
    EXPECT_FALSE(has_tokenizer(load_model(folder / out)));
  }
}

}  // namespace
}  // namespace fathom
