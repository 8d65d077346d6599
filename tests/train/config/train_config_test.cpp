#include "train/config/train_config.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "base/error.h"
#include "base/file/file.h"
#include "support/errors.h"
#include "train/config/config_table.h"
#include "train/config/model_keys.h"
#include "train/plan/memory_plan.h"
#include "train/schedule.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;
using test::replaced;

const fs::path kConfigs = fs::path(FATHOM_GOLDEN_DIR) / ".." / ".." / "configs";

std::string tiny() { return read_file(kConfigs / "tiny.toml"); }

std::string refusal(const std::string& text) {
  return test::refusal([&] { parse_train_config(text, "x.toml", "."); });
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
  expect(replaced(tiny(), "hidden_size", "hiden_size"), "'hiden_size' is not known: is it meant?");
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

TEST(TrainConfig, AllThatIsWrongIsToldAtOnce) {
  std::string text = replaced(tiny(), "max_learning_rate = 3e-3", "max_learning_rat = 3e-3");
  text = replaced(text, "path = \"../data/tiny\"\n", "");
  text = replaced(text, "warmup_steps = 20", "warmup_steps = -20");
  text = replaced(text, "hidden_size = 64", "hidden_size = \"64\"");
  text = replaced(text, "kv_lora_rank = 32\n", "");
  text = replaced(text, "products = \"bf16\"", "products = \"\"");
  const std::string said = refusal(text);
  for (const char* part :
       {"x.toml: 6 things to mend\n",
        "[optimizer]: the key 'max_learning_rat' is not known. Did you mean max_learning_rate?",
        "[data]: the key path is missing: folder that `fathom data build` made",
        "[schedule]: warmup_steps is -20; it must be between 0 and",
        "[model]: hidden_size is a string; it must be of type integer", "[model]: the key kv_lora_rank is missing",
        "[run]: products is ''; it must be one of: f32, bf16"})
    EXPECT_NE(said.find(part), std::string::npos) << part << "\nnot in\n" << said;
}

TEST(TrainConfig, EveryUnknownKeyOfTheModelIsTold) {
  const std::string said = refusal(replaced(tiny(), "[model]", "[model]\nsliding_window = 5\nfrobnicate = true\n"));
  EXPECT_NE(said.find("sliding_window"), std::string::npos) << said;
  EXPECT_NE(said.find("frobnicate"), std::string::npos) << said;
}

TEST(TrainConfig, AMisspeltSectionIsOneFaultAndItsKeysAreNotMissing) {
  const std::string said = refusal(replaced(tiny(), "[schedule]", "[shedule]"));
  EXPECT_NE(said.find("Did you mean schedule?"), std::string::npos) << said;
  EXPECT_EQ(said.find("missing"), std::string::npos) << said;
}

TEST(TrainConfig, AFileWithoutModelSaysThatTheSectionIsMissing) {
  EXPECT_NE(refusal("").find("the section [model] is missing"), std::string::npos);
}

TEST(TrainConfig, ALetterOutsideStringsIsASyntaxError) {
  for (const char* letter : {"\u03f5", "\u00e9", "\u0436", "\u4e2d"}) {
    const std::string said = refusal(std::string("[run]\neval_interval = ") + letter + "alance\n");
    EXPECT_NE(said.find("line 2"), std::string::npos) << said;
  }
}

TEST(TrainConfig, NoBoundIsPrintedWithHundredsOfDigits) {
  EXPECT_LT(refusal(replaced(tiny(), "grad_clip = 1.0", "grad_clip = -1")).size(), 80u);
}

TEST(TrainConfig, NumbersThatWrapAreRefused) {
  EXPECT_NE(refusal(replaced(tiny(), "seed = 1", "seed = -1")).find("seed is -1"), std::string::npos);
  EXPECT_NE(refusal(replaced(tiny(), "tokens = 600e3", "tokens = inf")).find("tokens is inf"), std::string::npos);
}

TEST(TrainConfig, KeysThatFollowOthersDoSo) {
  const TrainConfig c = parse_train_config(replaced(tiny(), "start_sequences = 8\n", ""), "x", ".");
  EXPECT_EQ(c.batch.start_sequences, 16);
  const TrainConfig d =
      parse_train_config(replaced(replaced(tiny(), "n_devices = 4\n", ""), "max_devices = 2\n", ""), "x", ".");
  EXPECT_EQ(d.balance.n_devices, 4);
  EXPECT_EQ(d.balance.max_devices, 2);
}

// ---- The list of keys ----

TEST(ConfigTable, DocsConfigMdIsWhatTheProgramPrints) {
  EXPECT_EQ(read_file(kConfigs / ".." / "docs" / "config.md"), config_table())
      << "fathom train --keys > docs/config.md";
}

TEST(ConfigTable, EveryKeyOfTheShippedConfigsIsInIt) {
  const std::string table = config_table();
  for (const auto& entry : fs::recursive_directory_iterator(kConfigs)) {
    if (!entry.is_regular_file()) continue;
    std::istringstream lines(read_file(entry.path()));
    for (std::string line; std::getline(lines, line);)
      if (const size_t at = line.find(" = "); at != std::string::npos && line[0] != '#') {
        EXPECT_NE(table.find("| `" + line.substr(0, at) + "` |"), std::string::npos) << entry.path() << ": " << line;
      }
  }
}

TEST(ConfigTable, WhatItCallsRequiredIsRefusedWhereItIsMissing) {
  const auto without = [](const std::string& key) {
    std::istringstream lines(tiny());
    std::string text;
    for (std::string line; std::getline(lines, line);)
      if (!line.starts_with(key + " = ")) text += line + "\n";
    return text;
  };
  for (const ModelKey& k : model_keys()) {
    const std::string text = without(std::string(k.name));
    if (k.needed == Needed::no) {
      EXPECT_NO_THROW(parse_train_config(text, "x", ".")) << k.name;
    } else {
      EXPECT_NE(refusal(text).find(fmt::format("the key {} is missing", k.name)), std::string::npos) << k.name;
    }
  }
  for (const char* key : {"path", "sequence_length", "sequences", "micro_batch", "max_learning_rate", "tokens"})
    EXPECT_NE(refusal(without(key)).find(fmt::format("the key {} is missing", key)), std::string::npos) << key;
}

TEST(ConfigTable, EveryKeyThatAConfigJsonIsWrittenWithIsKnown) {
  const TrainConfig c = read_train_config(kConfigs / "v2-long.toml");
  const json::value written = parse_json(config_to_json(c.model, "float32"), "config.json");
  for (const auto& [key, value] : written.get_object()) {
    const bool listed = std::any_of(model_keys().begin(), model_keys().end(),
                                    [&, k = std::string_view(key)](const ModelKey& m) { return m.name == k; });
    const bool decides_nothing =
        key == "torch_dtype" || key == "use_cache" || key == "attention_dropout" || key == "initializer_range";
    EXPECT_TRUE(listed || decides_nothing) << key;
  }
}

}  // namespace
}  // namespace fathom
