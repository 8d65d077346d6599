// A text of our own, its tokenizer, its token data and a config, small enough to train in a test.
#pragma once
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>

#include "base/error.h"
#include "base/file/file.h"
#include "base/random.h"
#include "data/build.h"
#include "support/errors.h"
#include "tokenizer/train/train_bpe.h"
#include "train/plan/preflight.h"
#include "train/trainer.h"

namespace fathom {

namespace fs = std::filesystem;
using test::refusal;

// A folder with a small text of our own, its tokenizer and its token data, made once.
class TinyRun : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new fs::path(fs::temp_directory_path() / ("fathom_tiny_run_" + std::to_string(::getpid())));
    fs::remove_all(*folder_);
    fs::create_directories(*folder_ / "text");
    std::string all;
    for (int d = 0; d < 60; ++d) {
      std::string text;
      for (int s = 0; s < 12; ++s)
        text += fmt::format("The {} {} saw {} {} by the {}. ", pick(kAdjectives, d, s), pick(kNouns, d, s + 50),
                            2 + (d * 7 + s) % 9, pick(kNouns, d, s + 90), pick(kPlaces, d, s));
      std::ofstream(*folder_ / "text" / fmt::format("{:03}.txt", d)) << text;
      all += text;
    }
    ThreadPool pool(1);
    const PreTokenizerSpec pre = pre_tokenizer_of_name("deepseek-llm", "test");
    WordCounter counter(pre, pool);
    const std::string_view view = all;
    counter.add({&view, 1});
    BpeTrainOptions options;
    options.vocab_size = 300;
    const Tokenizer tokenizer = Tokenizer::from_vocabulary(train_bpe(counter.take(), options), "test");
    DataBuildOptions build;
    build.inputs = {{*folder_ / "text", 1, ""}};
    build.tokenizer_json = to_tokenizer_json(tokenizer);
    build.tokenizer_config_json = to_tokenizer_config_json(tokenizer);
    build.output = *folder_ / "data";
    build.held_out = 0.1;
    build.threads = 1;
    build.quiet = true;
    build_data(build);
  }
  static void TearDownTestSuite() {
    fs::remove_all(*folder_);
    delete folder_;
  }

  static TrainConfig config(const std::string& changes = "") {
    const std::string text = R"([data]
path = "data"
sequence_length = 48
[batch]
sequences = 4
start_sequences = 2
ramp_tokens = 500
micro_batch = 2
[optimizer]
max_learning_rate = 5e-3
[schedule]
tokens = 1e9
warmup_steps = 3
[balance]
expert_alpha = 0.003
device_alpha = 0.05
communication_alpha = 0.02
n_devices = 4
max_devices = 2
capacity_factor = 1.0
exempt_fraction = 0.3
[run]
seed = 1
init_std = 0.05
)" + changes + kModel;
    return parse_train_config(text, "test.toml", *folder_);
  }

  // One of each size for all trainers of a test program.
  static ThreadPool& pool(int threads) {
    static std::map<int, ThreadPool> pools;
    return pools.try_emplace(threads, threads).first->second;
  }

  static Trainer trainer(const TrainConfig& c, int threads = 1) {
    return Trainer(c, TokenDataset::open(c.data.path), pool(threads));
  }

  static Trainer resumed(const TrainConfig& c, const fs::path& run, int threads = 1) {
    return Trainer(c, TokenDataset::open(c.data.path), pool(threads), newest_checkpoint(run));
  }

  static std::vector<float> weights(const Trainer& t) {
    return {t.parameters().master().begin(), t.parameters().master().end()};
  }

  static const fs::path& folder() { return *folder_; }

 private:
  static inline fs::path* folder_ = nullptr;
  static constexpr std::array<const char*, 6> kAdjectives = {"old", "quiet", "green", "small", "careful", "bright"};
  static constexpr std::array<const char*, 8> kNouns = {"heron",  "miller", "fox",     "clerk",
                                                        "sailor", "cat",    "teacher", "wolf"};
  static constexpr std::array<const char*, 5> kPlaces = {"river", "market", "old mill", "harbour", "school"};
  template <size_t N>
  static const char* pick(const std::array<const char*, N>& words, int d, int s) {
    return words[philox(5, static_cast<uint64_t>(d), static_cast<uint64_t>(s))[0] % N];
  }
  static constexpr const char* kModel = R"([model]
model_type = "deepseek_v2"
vocab_size = 300
hidden_size = 32
num_hidden_layers = 2
intermediate_size = 48
max_position_embeddings = 256
num_attention_heads = 2
num_key_value_heads = 2
q_lora_rank = 16
kv_lora_rank = 16
qk_nope_head_dim = 8
qk_rope_head_dim = 8
v_head_dim = 8
rope_theta = 10000.0
rms_norm_eps = 1e-6
n_routed_experts = 8
num_experts_per_tok = 2
n_shared_experts = 1
moe_intermediate_size = 16
first_k_dense_replace = 1
moe_layer_freq = 1
n_group = 4
topk_group = 2
topk_method = "group_limited_greedy"
scoring_func = "softmax"
norm_topk_prob = false
routed_scaling_factor = 4.0
hidden_act = "silu"
attention_bias = false
tie_word_embeddings = false
)";
};

}  // namespace fathom
