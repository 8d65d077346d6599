#include "load/find_model.h"

#include <gtest/gtest.h>

#include "load/load.h"
#include "support/files.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using test::contains;
using test::error_of;
using test::TempFolder;
using test::write_text;

// Makes empty files, and the folders that they lie in.
void make(const fs::path& folder, std::initializer_list<std::string_view> files) {
  for (const std::string_view file : files) {
    fs::create_directories((folder / file).parent_path());
    write_text(folder / file, "");
  }
}

TEST(FindModel, AFolderWithWeightsIsItself) {
  for (const char* file :
       {"model.safetensors", "model.safetensors.index.json", "model-00001-of-00001.safetensors", "lite.safetensors"}) {
    const TempFolder folder;
    make(folder.path(), {file});
    EXPECT_EQ(find_model(folder.path()).path, folder.path()) << file;
    EXPECT_EQ(find_model(folder.path()).notice, "");
  }
}

TEST(FindModel, AFolderOfTheHubsCacheIsItsSnapshot) {
  const TempFolder folder;
  const fs::path hub = folder / "models--deepseek-ai--DeepSeek-V2-Lite";
  make(hub, {"blobs/0", "snapshots/604d/config.json", "snapshots/604d/model.safetensors"});
  EXPECT_EQ(find_model(hub).path, hub / "snapshots" / "604d");
  EXPECT_TRUE(contains(find_model(hub).notice, "using its snapshots/604d"));
  make(hub, {"snapshots/9aaa/model.safetensors"});
  EXPECT_TRUE(contains(error_of([&] { find_model(hub); }), "with 2 snapshots; name one: 604d, 9aaa"));
  make(hub, {"refs/main"});
  write_text(hub / "refs" / "main", "604d\n");
  EXPECT_EQ(find_model(hub).path, hub / "snapshots" / "604d");
  EXPECT_TRUE(contains(error_of([&] { find_model(folder.path()); }), "holds models--deepseek-ai--DeepSeek-V2-Lite"));
}

TEST(FindModel, ATrainingRunIsItsNewestCheckpoint) {
  const TempFolder folder;
  make(folder.path(), {"lock", "metrics.jsonl"});
  EXPECT_TRUE(contains(error_of([&] { find_model(folder.path()); }), "is a training run without a checkpoint yet"));
  for (const char* step : {"step-00000009", "step-00000010"})
    make(folder.path() / step, {"config.json", "model.safetensors"});
  make(folder.path(), {"step-00000011.partial/config.json", "step-00000012/model.safetensors"});
  EXPECT_EQ(find_model(folder.path()).path, folder / "step-00000010");
  EXPECT_TRUE(
      contains(find_model(folder.path()).notice, "is a training run; using its newest checkpoint step-00000010"));
}

TEST(FindModel, AFolderOfRunsNamesThem) {
  const TempFolder folder;
  make(folder.path(), {"first/metrics.jsonl", "second/metrics.jsonl", "text/book.txt"});
  EXPECT_TRUE(contains(error_of([&] { find_model(folder.path()); }), "is no model, but holds first, second; name one"));
}

TEST(FindModel, AnAdapterIsNamedWithItsBase) {
  const TempFolder folder;
  make(folder.path(), {"adapter_model.safetensors", "tokenizer.json"});
  EXPECT_TRUE(contains(error_of([&] { find_model(folder.path()); }), "is an adapter for its base model"));
  write_text(folder / "adapter_config.json",
             R"({"peft_type": "LORA", "base_model_name_or_path": "deepseek-ai/DeepSeek-V2-Lite"})");
  for (const fs::path& named : {folder.path(), folder / "adapter_model.safetensors"})
    EXPECT_TRUE(contains(error_of([&] { find_model(named); }), "is a LoRA adapter for 'deepseek-ai/DeepSeek-V2-Lite'"));
  write_text(folder / "adapter_config.json", R"({"peft_type": "IA3"})");
  EXPECT_TRUE(contains(error_of([&] { find_model(folder.path()); }), "is a 'IA3' adapter for its base model"));
  write_text(folder / "adapter_config.json", "no JSON");
  EXPECT_TRUE(contains(error_of([&] { find_model(folder.path()); }), "adapter_config.json: not valid JSON"));
  make(folder.path(), {"model.safetensors"});
  EXPECT_EQ(find_model(folder.path()).path, folder.path()) << "merged weights beside it are a model";
}

TEST(FindModel, FoldersOfOtherThingsAreExplained) {
  const struct {
    std::initializer_list<std::string_view> files;
    std::string_view message;
  } cases[] = {
      {{"tokenizer.json", "tokenizer_config.json"}, "holds a tokenizer, but no weights"},
      {{"config.json"}, "holds a config.json, but no weights"},
      {{"README.md"}, "is no model: it holds neither model.safetensors nor"},
      {{"pytorch_model-00001-of-00002.bin", "config.json"}, "pytorch_model-00001-of-00002.bin, a Python pickle"},
      {{"pytorch_model.bin", "tokenizer.json"}, "save_pretrained(..., safe_serialization=True)"},
      {{"consolidated.00.pth"}, "consolidated.00.pth, a Python pickle"},
      {{"zero_to_fp32.py", "global_step10/x"}, "of a DeepSpeed checkpoint"},
      {{"latest_checkpointed_iteration.txt"}, "of a Megatron checkpoint"},
      {{"__0_0.distcp"}, "PyTorch's distributed checkpoint"},
      {{"tf_model.h5"}, "a TensorFlow checkpoint"},
      {{"flax_model.msgpack"}, "a Flax checkpoint"},
      {{"weights.npz"}, "an MLX checkpoint"},
      {{"a-Q4_0.gguf", "b-Q8_0.gguf"}, "(2 there: a-Q4_0.gguf, b-Q8_0.gguf)"},
      {{"config.json", "model.safetensors.incomplete"},
       "holds model.safetensors.incomplete, a download that has not finished"},
      {{"config.json", ".cache/huggingface/download/x.abc.incomplete"},
       "x.abc.incomplete, a download that has not finished"},
      {{"model.safetensors.aria2"}, "a download that has not finished"},
      {{"lite/config.json", "chat/config.json", "notes/x"},
       "is no model, but holds chat, lite; name one of these folders"},
  };
  for (const auto& c : cases) {
    const TempFolder folder;
    make(folder.path(), c.files);
    EXPECT_TRUE(contains(error_of([&] { find_model(folder.path()); }), c.message));
  }
  EXPECT_TRUE(contains(error_of([] { find_model("no-such/thing"); }), "`fathom pull no-such/thing`"));
  EXPECT_EQ(error_of([] { find_model("./no-such"); }), "./no-such: there is no such file or folder");
}

}  // namespace
}  // namespace fathom
