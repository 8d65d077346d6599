#include "train/trainer.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <cmath>
#include <fstream>

#include "base/file.h"
#include "checkpoint/safetensors.h"
#include "data/build.h"
#include "model/load.h"
#include "support/random_model.h"
#include "tokenizer/train_bpe.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

// A folder with a small text of our own, its tokenizer and its token data, made once.
class TrainerTest : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    folder_ = new fs::path(fs::temp_directory_path() / ("fathom_trainer_test_" + std::to_string(::getpid())));
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

  // Balanced by nothing but the score bias.
  static TrainConfig biased(double speed) {
    TrainConfig c = config();
    c.model.topk_method = TopkMethod::noaux_tc;
    c.balance = {};
    c.balance.n_devices = 4;
    c.balance.max_devices = 2;
    c.balance.bias_update_speed = speed;
    return c;
  }

  static Trainer trainer(const TrainConfig& c, int threads = 1) {
    return Trainer(c, TokenDataset::open(c.data.path), threads);
  }

  static void expect_resume_bit_for_bit(const TrainConfig& c) {
    Trainer whole = trainer(c);
    std::vector<double> losses;
    for (int i = 0; i < 12; ++i) losses.push_back(whole.step().loss);
    for (const int stop : {1, 4, 7}) {  // in the warm-up, in the batch ramp, after both
      const fs::path run = *folder_ / fmt::format("run-{}-{}", stop, c.model.has_score_bias());
      {
        Trainer first = trainer(c);
        for (int i = 0; i < stop; ++i) first.step();
        first.save(run);
      }
      Trainer second = trainer(c, 2);
      second.resume(*newest_checkpoint(run));
      EXPECT_EQ(second.state().step, stop);
      for (int i = stop; i < 12; ++i) ASSERT_EQ(second.step().loss, losses[static_cast<size_t>(i)]) << stop << ' ' << i;
      EXPECT_TRUE(testing::same_bits(weights(second), weights(whole))) << stop;
    }
  }

  static std::vector<float> weights(const Trainer& t) {
    return {t.parameters().master().begin(), t.parameters().master().end()};
  }

  static fs::path* folder_;

 private:
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
fs::path* TrainerTest::folder_ = nullptr;

TEST_F(TrainerTest, LearnsItsText) {
  Trainer t = trainer(config());
  const double before = t.evaluate_held_out(100).loss, first = t.step().loss;
  EXPECT_NEAR(first, std::log(300.0), 0.5);  // a fresh model knows nothing
  double last = 0;
  for (int i = 0; i < 149; ++i) last = t.step().loss;
  const HeldOutResult after = t.evaluate_held_out(100);
  EXPECT_LT(last, 0.5 * first);
  EXPECT_LT(after.loss, 0.5 * before);
  EXPECT_GT(after.bits_per_byte, 0);
  EXPECT_LT(after.bits_per_byte, after.loss / std::log(2.0));  // a token is more than a byte
}

TEST_F(TrainerTest, ThreadsAndRecomputingChangeNoBitOfTheWeights) {
  Trainer one = trainer(config()), three = trainer(config(), 3), again = trainer(config("recompute = \"layers\"\n"));
  for (int i = 0; i < 6; ++i) {
    const StepResult a = one.step(), b = three.step(), c = again.step();
    ASSERT_EQ(a.loss, b.loss);
    ASSERT_EQ(a.loss, c.loss);
    ASSERT_EQ(a.gradient_norm, b.gradient_norm);
  }
  EXPECT_TRUE(testing::same_bits(weights(one), weights(three)));
  EXPECT_TRUE(testing::same_bits(weights(one), weights(again)));
}

TEST_F(TrainerTest, AResumedRunIsTheRunThatNeverStoppedBitForBit) {
  for (const bool with_bias : {false, true}) expect_resume_bit_for_bit(with_bias ? biased(0.001) : config());
}

TEST_F(TrainerTest, AScoreBiasEvensTheLoadWithoutALoss) {
  // The busiest expert's load over the mean, of the steps 61 to 100 together: one step has few tokens.
  const auto late_load = [](double speed) {
    Trainer t = trainer(biased(speed));
    for (int i = 0; i < 60; ++i) t.step();
    std::vector<double> sum(8, 0.0);
    for (int i = 0; i < 40; ++i) {
      const StepResult r = t.step();
      for (size_t e = 0; e < sum.size(); ++e) sum[e] += r.expert_load[0][e];
    }
    return *std::max_element(sum.begin(), sum.end()) * 8 / 40;
  };
  const double off = late_load(0), on = late_load(0.005);
  EXPECT_GT(off, 1.4);  // 1.64
  EXPECT_LT(on, 1.15);  // 1.05
}

TEST_F(TrainerTest, AScoreBiasMovesByItsSpeedAgainstTheLoadOfTheWholeStep) {
  Trainer t = trainer(biased(0.125));
  const auto p = std::find_if(t.parameters().list().begin(), t.parameters().list().end(),
                              [](const ParameterInfo& info) { return !info.learned; });
  ASSERT_EQ(p->name, "model.layers.1.mlp.gate.e_score_correction_bias");
  const VecView<float> bias(t.parameters().master().data + p->offset, p->size);
  std::vector<float> want(8, 0.0f);
  for (int i = 0; i < 3; ++i) {
    const StepResult r = t.step();
    for (size_t e = 0; e < 8; ++e) {
      const double above = r.expert_load[0][e] - 0.125;
      if (std::abs(above) > 1e-9) want[e] += above < 0 ? 0.125f : -0.125f;
      EXPECT_EQ(bias[static_cast<int64_t>(e)], want[e]);
    }
  }
  // What is saved chooses as what was trained.
  const fs::path run = *folder_ / "run-bias";
  t.save(run);
  const Model model = load_model(*newest_checkpoint(run));
  const Weight& stored = std::get<MoeWeights>(model.weights.layers[1].mlp).e_score_correction_bias;
  EXPECT_EQ(stored.dtype, DType::f32);
  EXPECT_EQ(std::memcmp(stored.data, bias.data, 8 * sizeof(float)), 0);
}

TEST_F(TrainerTest, MicroBatchesAddUpToTheBatchBitForBitWithFloat32Products) {
  TrainConfig c = config("products = \"f32\"\n");
  c.batch.micro_batch = 1;
  c.batch.start_sequences = 4;
  c.balance.capacity_factor = 0;  // dropping is of a micro-batch
  TrainConfig d = c;
  d.batch.micro_batch = 4;
  Trainer ones = trainer(c), four = trainer(d);
  for (int i = 0; i < 3; ++i) {
    const StepResult a = ones.step(), b = four.step();
    EXPECT_EQ(a.gradient_norm, b.gradient_norm);
    EXPECT_NEAR(a.loss, b.loss, 1e-12 * b.loss);
    EXPECT_NEAR(a.balance.total(), b.balance.total(), 1e-12);
  }
  EXPECT_TRUE(testing::same_bits(weights(ones), weights(four)));
}

TEST_F(TrainerTest, TheCheckpointIsAModelThatLoads) {
  Trainer t = trainer(config());
  t.step();
  const fs::path run = *folder_ / "run-load";
  t.save(run);
  const Model model = load_model(*newest_checkpoint(run));
  EXPECT_EQ(model.config.n_group, 4);
  EXPECT_EQ(model.weights.lm_head.dtype, DType::bf16);
  EXPECT_EQ(model.weights.norm.dtype, DType::f32);
  EXPECT_TRUE(fs::exists(*newest_checkpoint(run) / "tokenizer.json"));
}

std::string refusal(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& e) {
    return e.what();
  }
  ADD_FAILURE() << "accepted";
  return "";
}

TEST_F(TrainerTest, ADamagedOrForeignCheckpointIsRefusedByName) {
  const fs::path run = *folder_ / "run-bad";
  {
    Trainer t = trainer(config());
    t.step();
    t.save(run);
  }
  const fs::path checkpoint = *newest_checkpoint(run);
  EXPECT_NE(refusal([&] { trainer(config("on_nan = \"skip\"\n")).resume(checkpoint); }).find("another config"),
            std::string::npos);
  TrainConfig other_data = config();
  other_data.data.sequence_length = 40;
  EXPECT_NE(refusal([&] { trainer(other_data).resume(checkpoint); }).find("other data"), std::string::npos);
  const fs::path optimizer = checkpoint / "training" / "optimizer.safetensors";
  std::fstream(optimizer, std::ios::in | std::ios::out | std::ios::binary).seekp(4096).put('x');
  EXPECT_NE(refusal([&] { trainer(config()).resume(checkpoint); }).find("checksum"), std::string::npos);
  fs::remove(optimizer);
  EXPECT_NE(refusal([&] { trainer(config()).resume(checkpoint); }).find("missing"), std::string::npos);
}

TEST_F(TrainerTest, WhatAKilledRunLeftHalfWrittenIsNoCheckpoint) {
  const fs::path run = *folder_ / "run-killed";
  Trainer t = trainer(config());
  for (int i = 0; i < 3; ++i) {
    t.step();
    t.save(run);
  }
  fs::copy(run / "step-00000003", run / "step-00000004.partial", fs::copy_options::recursive);
  fs::create_directories(run / "step-00000005");  // never renamed into place with its state: not whole
  EXPECT_EQ(newest_checkpoint(run)->filename(), "step-00000003");
  prune_checkpoints(run, 2);
  EXPECT_FALSE(fs::exists(run / "step-00000004.partial"));
  EXPECT_FALSE(fs::exists(run / "step-00000001"));
  EXPECT_TRUE(fs::exists(run / "step-00000002"));
}

TEST_F(TrainerTest, ALossThatIsNotFiniteStopsOrSkipsWithoutTouchingTheWeights) {
  for (const bool skip : {false, true}) {
    Trainer t = trainer(config(skip ? "on_nan = \"skip\"\n" : ""));
    t.step();
    t.parameters().master()[t.parameters().list().back().offset] = NAN;
    const auto before = weights(t);
    if (skip) {
      // products are bf16: the copy is made by updates, so poison that too
      const_cast<Parameters&>(t.parameters()).refresh(0, t.parameters().master().size);
      EXPECT_TRUE(t.step().skipped);
      EXPECT_EQ(t.state().skipped_steps, 1);
    } else {
      const_cast<Parameters&>(t.parameters()).refresh(0, t.parameters().master().size);
      EXPECT_NE(refusal([&] { t.step(); }).find("not finite"), std::string::npos);
    }
    EXPECT_TRUE(testing::same_bits(weights(t), before));
  }
}

}  // namespace
}  // namespace fathom
