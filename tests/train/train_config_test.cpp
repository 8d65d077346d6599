#include "train/train_config.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
#include "base/file.h"
#include "train/memory_plan.h"
#include "train/schedule.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

const fs::path kConfigs = fs::path(FATHOM_GOLDEN_DIR) / ".." / ".." / "configs";

std::string tiny() { return read_file(kConfigs / "tiny.toml"); }

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return at == std::string::npos ? text : text.replace(at, from.size(), to);
}

std::string refusal(const std::string& text) {
  try {
    parse_train_config(text, "x.toml", ".");
  } catch (const Error& e) {
    return e.what();
  }
  ADD_FAILURE() << "accepted";
  return "";
}

TEST(TrainConfig, EveryShippedConfigIsRead) {
  for (const auto& entry : fs::recursive_directory_iterator(kConfigs))
    if (entry.is_regular_file()) {
      EXPECT_NO_THROW(read_train_config(entry.path())) << entry.path();
    }
}

TEST(TrainConfig, ThePapersNumbers) {
  const TrainConfig v2 = read_train_config(kConfigs / "v2.toml"), lite = read_train_config(kConfigs / "v2-lite.toml");
  EXPECT_EQ(v2.balance.n_devices, 8);
  EXPECT_EQ(v2.balance.max_devices, 3);
  EXPECT_EQ(v2.balance.capacity_factor, 1.0);
  EXPECT_DOUBLE_EQ(v2.balance.expert_alpha + v2.balance.device_alpha + v2.balance.communication_alpha, 0.073);
  EXPECT_EQ(lite.balance.device_alpha, 0);
  EXPECT_EQ(batch_sequences(v2.batch, 0), 2304);
  EXPECT_EQ(batch_sequences(v2.batch, 112.5e9), 5760);
  EXPECT_EQ(batch_sequences(v2.batch, 225e9), 9216);
  const TrainConfig later = read_train_config(kConfigs / "v2-long.toml");
  EXPECT_EQ(later.model.rope_scaling->mscale, 0.707);
  EXPECT_EQ(later.schedule.tokens, 1000.0 * 576 * 32768);
}

TEST(TrainConfig, TheLearningRateFollowsWarmUpAndTokenFractions) {
  const TrainConfig v2 = read_train_config(kConfigs / "v2.toml");
  const auto rate = [&](int64_t step, double fraction) {
    return learning_rate(v2.optimizer, v2.schedule, step, fraction * v2.schedule.tokens);
  };
  EXPECT_DOUBLE_EQ(rate(0, 0), 2.4e-4 / 2000);
  EXPECT_DOUBLE_EQ(rate(999, 0), 1.2e-4);
  EXPECT_DOUBLE_EQ(rate(2000, 0.01), 2.4e-4);
  EXPECT_DOUBLE_EQ(rate(9999, 0.599), 2.4e-4);
  EXPECT_NEAR(rate(9999, 0.601), 7.584e-5, 1e-12);
  EXPECT_NEAR(rate(9999, 0.899), 7.584e-5, 1e-12);
  EXPECT_NEAR(rate(9999, 0.901), 2.397e-5, 1e-8);
}

TEST(TrainConfig, WhatIsWrongIsNamed) {
  const auto expect = [](const std::string& text, const std::string& named) {
    EXPECT_NE(refusal(text).find(named), std::string::npos) << refusal(text);
  };
  expect(replaced(tiny(), "grad_clip", "grad_clipp"), "'grad_clipp' is not known");
  expect(replaced(tiny(), "grad_clip", "grad_clipp"), "Did you mean grad_clip?");
  expect(replaced(tiny(), "[optimizer]", "[optimiser]"), "Did you mean optimizer?");
  expect(replaced(tiny(), "hidden_size", "hiden_size"), "hidden_size is missing");
  expect(replaced(tiny(), "norm_topk_prob", "norm_topk_probs"), "Did you mean norm_topk_prob?");
  expect(replaced(tiny(), "micro_batch = 8", "micro_batch = 5"), "multiple of micro_batch");
  expect(replaced(tiny(), "n_devices = 4", "n_devices = 3"), "divisor of n_routed_experts");
  expect(replaced(tiny(), "sequence_length = 128", "sequence_length = \"128\""), "sequence_length is a string");
  expect(replaced(tiny(), "sequence_length = 128", "sequence_length = 1280000"), "sequence_length");
  expect(replaced(tiny(), "max_learning_rate = 3e-3", "max_learning_rate = nan"), "max_learning_rate");
  expect(replaced(tiny(), "max_learning_rate = 3e-3", ""), "max_learning_rate is missing");
  expect(replaced(tiny(), "hidden_size = 64", "hidden_size = 64\nhidden_sizes = 64"), "hidden_sizes");
  expect(replaced(tiny(), "n_devices = 4", "n_devices = 4\nbias_update_speed = 0.001"), "without score bias");
  expect(replaced(tiny(), "[batch]", "[batch"), "line");
  expect(replaced(tiny(), "seed = 1", "seed = 1979-05-27"), "dates");
  expect(replaced(tiny(), "products = \"bf16\"", "products = \"fp8\""), "one of: f32, bf16");
}

TEST(TrainConfig, TheFingerprintKnowsWhatDecidesTheWeights) {
  const auto fingerprint = [](const std::string& text) { return parse_train_config(text, "x", ".").fingerprint; };
  EXPECT_EQ(fingerprint(tiny()), fingerprint(replaced(tiny(), "save_interval = 50", "save_interval = 7")));
  EXPECT_NE(fingerprint(tiny()), fingerprint(replaced(tiny(), "weight_decay = 0.1", "weight_decay = 0.2")));
  EXPECT_NE(fingerprint(tiny()), fingerprint(replaced(tiny(), "seed = 1", "seed = 2")));
}

}  // namespace
}  // namespace fathom
