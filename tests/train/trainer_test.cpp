#include "train/trainer.h"

#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "load/load.h"
#include "support/random_model.h"
#include "train/tiny_run.h"

namespace fathom {
namespace {

class TrainerTest : public TinyRun {
 protected:
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

  static void expect_resume_bit_for_bit(const TrainConfig& c) {
    Trainer whole = trainer(c);
    std::vector<double> losses;
    for (int i = 0; i < 12; ++i) losses.push_back(whole.step().loss);
    for (const int stop : {1, 4, 7}) {  // in the warm-up, in the batch ramp, after both
      const fs::path run = folder() / fmt::format("run-{}-{}", stop, c.model.has_score_bias());
      {
        Trainer first = trainer(c);
        for (int i = 0; i < stop; ++i) first.step();
        first.save(run);
      }
      Trainer second = resumed(c, run, 2);
      EXPECT_EQ(second.state().step, stop);
      for (int i = stop; i < 12; ++i) ASSERT_EQ(second.step().loss, losses[static_cast<size_t>(i)]) << stop << ' ' << i;
      EXPECT_TRUE(testing::same_bits(weights(second), weights(whole))) << stop;
    }
  }
};

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
  const fs::path run = folder() / "run-bias";
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
  const fs::path run = folder() / "run-load";
  t.save(run);
  const Model model = load_model(*newest_checkpoint(run));
  EXPECT_EQ(model.config.n_group, 4);
  EXPECT_EQ(model.weights.lm_head.dtype, DType::bf16);
  EXPECT_EQ(model.weights.norm.dtype, DType::f32);
  EXPECT_TRUE(fs::exists(*newest_checkpoint(run) / "tokenizer.json"));
}

TEST_F(TrainerTest, ADamagedOrForeignCheckpointIsRefusedByName) {
  const fs::path run = folder() / "run-bad";
  {
    Trainer t = trainer(config());
    t.step();
    t.save(run);
  }
  const fs::path checkpoint = *newest_checkpoint(run);
  TrainConfig other = config();
  other.data.weights = {2};
  EXPECT_NE(refusal([&] { resumed(other, run); }).find("[data] weights: [] -> [2]"), std::string::npos);
  const fs::path state = checkpoint / "training" / "state.json";
  const std::string text = read_file(state);
  std::ofstream(state) << text.substr(0, text.size() / 2);
  EXPECT_NE(refusal([&] { resumed(config(), run); }).find("training/state.json: "), std::string::npos);
  std::string elsewhere = text;
  elsewhere.replace(elsewhere.find("\"stream_fingerprint\": \"") + 23, 4, "0000");
  std::ofstream(state) << elsewhere;
  EXPECT_NE(refusal([&] { resumed(config(), run); }).find("other data"), std::string::npos);
  std::ofstream(state) << text;
  const fs::path optimizer = checkpoint / "training" / "optimizer.safetensors";
  std::fstream(optimizer, std::ios::in | std::ios::out | std::ios::binary).seekp(4096).put('x');
  EXPECT_NE(refusal([&] { resumed(config(), run); }).find("checksum"), std::string::npos);
  fs::remove(optimizer);
  EXPECT_NE(refusal([&] { resumed(config(), run); }).find("missing"), std::string::npos);
  fs::rename(checkpoint, run / "step-00000007");
  EXPECT_NE(refusal([&] { resumed(config(), run); }).find("holds step 1"), std::string::npos);
}

TEST_F(TrainerTest, WhatAKilledRunLeftHalfWrittenIsNoCheckpoint) {
  const fs::path run = folder() / "run-killed";
  Trainer t = trainer(config());
  for (int i = 0; i < 3; ++i) {
    t.step();
    t.save(run);
  }
  fs::copy(run / "step-00000003", run / "step-00000004.partial", fs::copy_options::recursive);
  std::ofstream(run / "mine.partial") << "not fathom's";
  EXPECT_EQ(newest_checkpoint(run)->filename(), "step-00000003");
  prune_checkpoints(run, 2);
  EXPECT_FALSE(fs::exists(run / "step-00000004.partial"));
  EXPECT_FALSE(fs::exists(run / "step-00000001"));
  EXPECT_TRUE(fs::exists(run / "step-00000002"));
  EXPECT_TRUE(fs::exists(run / "mine.partial"));
}

TEST_F(TrainerTest, ACopyThatSomebodyKeepsIsNoCheckpoint) {
  const fs::path run = folder() / "run-copies";
  Trainer t = trainer(config());
  t.step();
  t.save(run);
  for (const char* name : {"step-00000001.bak", "step-00000009 (copy)", "step-final", "step-"})
    fs::copy(run / "step-00000001", run / name, fs::copy_options::recursive);
  EXPECT_EQ(newest_checkpoint(run)->filename(), "step-00000001");
  prune_checkpoints(run, 1);
  EXPECT_TRUE(fs::exists(run / "step-00000001.bak"));
  EXPECT_EQ(resumed(config(), run).state().step, 1);
}

TEST_F(TrainerTest, CheckpointsAreInTheOrderOfTheirStepsBeyondEightDigits) {
  const fs::path run = folder() / "run-digits";
  fs::create_directories(run / "step-99999999");
  fs::create_directories(run / "step-100000000");
  EXPECT_EQ(newest_checkpoint(run)->filename(), "step-100000000");
}

TEST_F(TrainerTest, ACheckpointWithoutItsTrainingStateIsRefusedAndNotPassedOver) {
  const fs::path run = folder() / "run-stateless";
  Trainer t = trainer(config());
  for (int i = 0; i < 2; ++i) {
    t.step();
    t.save(run);
  }
  fs::remove_all(run / "step-00000002" / "training");
  EXPECT_NE(refusal([&] { resumed(config(), run); }).find("step-00000002/training/state.json: is missing"),
            std::string::npos);
  prune_checkpoints(run, 1);
  EXPECT_TRUE(fs::exists(run / "step-00000002")) << "weights that somebody keeps were removed";
}

TEST_F(TrainerTest, TheDataFolderMayGoAwayOnceTheRunHasBegun) {
  const fs::path data = folder() / "data-gone", run = folder() / "run-gone";
  fs::copy(folder() / "data", data);
  TrainConfig c = config();
  c.data.path = data.string();
  Trainer t = trainer(c);
  fs::remove_all(data);
  t.step();
  t.save(run);
  EXPECT_TRUE(fs::exists(*newest_checkpoint(run) / "tokenizer.json"));
}

TEST_F(TrainerTest, DataWithoutTokenizerConfigCanBeSaved) {
  const fs::path data = folder() / "data-bare", run = folder() / "run-bare";
  fs::copy(folder() / "data", data);
  fs::remove(data / "tokenizer_config.json");
  TrainConfig c = config();
  c.data.path = data.string();
  Trainer t = trainer(c);
  t.step();
  t.save(run);
  EXPECT_TRUE(fs::exists(*newest_checkpoint(run) / "tokenizer.json"));
}

TEST_F(TrainerTest, TheSizeOfACheckpointIsKnownBefore) {
  for (const char* products : {"f32", "bf16"}) {
    const TrainConfig c = config(fmt::format("products = \"{}\"\n", products));
    Trainer t = trainer(c);
    t.step();
    const fs::path run = folder() / "run-size";
    t.save(run);
    uint64_t bytes = 0;
    for (const auto& entry : fs::recursive_directory_iterator(*newest_checkpoint(run)))
      if (entry.is_regular_file()) bytes += entry.file_size();
    const uint64_t said = checkpoint_bytes(c, read_tokenizer_files(c.data.path));
    EXPECT_LE(said, bytes);
    EXPECT_LE(bytes - said, 16384);  // headers, config.json, state.json
  }
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
