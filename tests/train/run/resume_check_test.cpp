#include "train/run/resume_check.h"

#include "base/json/json.h"
#include "base/xxh64.h"
#include "support/random_model.h"
#include "train/tiny_run.h"

namespace fathom {
namespace {

class ResumeCheck : public TinyRun {
 protected:
  // Some steps under `before`, saved; then what the config `now` makes of it.
  static fs::path saved(const TrainConfig& before, const std::string& name, int steps) {
    const fs::path run = folder() / name;
    Trainer t = trainer(before);
    for (int i = 0; i < steps; ++i) t.step();
    t.save(run);
    return run;
  }
  static std::vector<std::string> changes(const fs::path& run, const TrainConfig& now) {
    return check_run(now, TokenDataset::open(now.data.path), run).notes;
  }
  static TrainConfig scheduled(double tokens, std::vector<double> decay_at) {
    TrainConfig c = config();
    c.schedule.tokens = tokens;
    c.schedule.decay_at = std::move(decay_at);
    return c;
  }
};

TEST_F(ResumeCheck, EveryChangedKeyIsNamedWithBothValues) {
  const fs::path run = saved(config(), "named", 1);
  TrainConfig c = config();
  c.batch.sequences = 8;
  c.run.products = MatmulPrecision::f32;
  c.model.rope_theta = 20000;
  c.balance.exempt_fraction = 0.5;
  const std::string said = refusal([&] { changes(run, c); });
  for (const char* part : {"step-00000001: was made with another config", "[batch] sequences: 4 -> 8",
                           "[run] products: \"bf16\" -> \"f32\"", "[model] rope_theta: 1E4 -> 2E4",
                           "[balance] exempt_fraction: 0.3 -> 0.5"})
    EXPECT_NE(said.find(part), std::string::npos) << part << "\nnot in\n" << said;
}

TEST_F(ResumeCheck, AKeyThatFollowsAnotherIsNotNamedWithIt) {
  TrainConfig before = config();
  before.batch.start_sequences = before.batch.sequences;
  const fs::path run = saved(before, "follows", 1);
  TrainConfig c = before;
  c.batch.sequences = c.batch.start_sequences = 8;
  EXPECT_EQ(refusal([&] { changes(run, c); }).find("start_sequences"), std::string::npos);
  c.batch.start_sequences = 4;
  EXPECT_NE(refusal([&] { changes(run, c); }).find("start_sequences: not set -> 4"), std::string::npos);
}

TEST_F(ResumeCheck, WhatDecidesNoBitOfTheWeightsIsNotAskedFor) {
  const fs::path run = saved(config(), "free", 1);
  TrainConfig c = config();
  c.run.recompute = Recompute::layers;
  c.run.log_interval = 7;
  c.run.eval_interval = 0;
  c.run.eval_sequences = 3;
  c.run.save_interval = 9;
  c.run.keep_checkpoints = 5;
  c.run.continue_from = "gone";
  EXPECT_TRUE(changes(run, c).empty());
}

TEST_F(ResumeCheck, AKeyWrittenWithItsDefaultIsNoChange) {
  const fs::path run = saved(config(), "default", 1);
  EXPECT_TRUE(changes(run, config("on_nan = \"stop\"\nproducts = \"bf16\"\n")).empty());
}

TEST_F(ResumeCheck, WhatHasNotHappenedYetMayChangeAndIsTold) {
  const fs::path run = saved(config(), "told", 1);
  TrainConfig c = config();
  c.run.on_nan = OnNan::skip;
  c.batch.micro_batch = 1;
  c.model.eos_token_ids = {299};
  c.model.max_position_embeddings = 512;
  const std::string said = fmt::format("{}", fmt::join(changes(run, c), "\n"));
  for (const char* part : {"[run] on_nan: \"stop\" -> \"skip\"", "[batch] micro_batch: 2 -> 1; what is dropped",
                           "[model] eos_token_id: not set -> 299", "[model] max_position_embeddings: 256 -> 512"})
    EXPECT_NE(said.find(part), std::string::npos) << part << "\nnot in\n" << said;
}

TEST_F(ResumeCheck, AnotherMicroBatchGoesOnBitForBitWithFloat32Products) {
  TrainConfig c = config("products = \"f32\"\n");
  c.balance.capacity_factor = 0;
  c.batch.start_sequences = c.batch.sequences;
  const fs::path run = saved(c, "micro", 3);
  Trainer whole = trainer(c);
  for (int i = 0; i < 6; ++i) whole.step();
  TrainConfig ones = c;
  ones.batch.micro_batch = 1;
  EXPECT_EQ(changes(run, ones), std::vector<std::string>{"[batch] micro_batch: 2 -> 1"});
  Trainer second = resumed(ones, run);
  for (int i = 0; i < 3; ++i) second.step();
  EXPECT_TRUE(testing::same_bits(weights(second), weights(whole)));
}

TEST_F(ResumeCheck, ALongerScheduleGoesOnAsTheLongRunThatNeverStopped) {
  const TrainConfig brief = scheduled(1500, {}), longer = scheduled(3000, {0.75});
  Trainer whole = trainer(longer);
  while (!whole.finished()) whole.step();
  Trainer first = trainer(brief);
  while (!first.finished()) first.step();
  const fs::path run = folder() / "longer";
  first.save(run);
  EXPECT_TRUE(check_run(brief, TokenDataset::open(brief.data.path), run).finished);
  const RunCheck check = check_run(longer, TokenDataset::open(longer.data.path), run);
  EXPECT_FALSE(check.finished);
  EXPECT_EQ(check.notes,
            (std::vector<std::string>{"[schedule] tokens: 1500 -> 3000", "[schedule] decay_at: [] -> [0.75]"}));
  Trainer second = resumed(longer, run);
  while (!second.finished()) second.step();
  EXPECT_TRUE(testing::same_bits(weights(second), weights(whole)));
}

TEST_F(ResumeCheck, MoreTokensAloneAreAllowedAndSayWhereTheRatesPart) {
  const fs::path run = saved(scheduled(2000, {0.2, 0.8}), "rewarm", 8);
  const std::string said = fmt::format("{}", fmt::join(changes(run, scheduled(4000, {0.2, 0.8})), "\n"));
  EXPECT_NE(said.find("[schedule] tokens: 2000 -> 4000; the learning rate of step"), std::string::npos) << said;
  EXPECT_NE(said.find("(decay_at = [0.1, 0.4] keeps the rates)"), std::string::npos) << said;
  EXPECT_EQ(changes(run, scheduled(4000, {0.1, 0.4})).size(), 2u);  // and so it does
}

TEST_F(ResumeCheck, AShorterScheduleIsAllowedAndMayBeFinished) {
  const fs::path run = saved(scheduled(1e6, {0.9}), "shorter", 8);
  const auto check = [&](double tokens) {
    const TrainConfig c = scheduled(tokens, {0.9});
    return check_run(c, TokenDataset::open(c.data.path), run);
  };
  EXPECT_FALSE(check(1e5).finished);
  EXPECT_TRUE(check(500).finished);
}

TEST_F(ResumeCheck, OtherRatesForStepsThatWereDoneAreRefused) {
  const fs::path run = saved(config(), "rates", 5);
  TrainConfig c = config();
  c.schedule.warmup_steps = 4;
  EXPECT_NE(refusal([&] { changes(run, c); }).find("[schedule] warmup_steps: 3 -> 4; the learning rate of step 1 was"),
            std::string::npos);
  c = config();
  c.schedule.decay_factor = 0.5;  // no decay has come yet
  EXPECT_EQ(changes(run, c), std::vector<std::string>{"[schedule] decay_factor: 0.316 -> 0.5"});
  c.optimizer.max_learning_rate = 4e-3;
  EXPECT_NE(refusal([&] { changes(run, c); }).find("max_learning_rate: 0.005 -> 0.004"), std::string::npos);
}

TEST_F(ResumeCheck, AnIdThatIsLeftOutLaterIsTold) {
  TrainConfig c = config();
  c.model.pad_token_id = 3;
  const fs::path run = saved(c, "pad", 1);
  EXPECT_EQ(changes(run, config()), std::vector<std::string>{"[model] pad_token_id: 3 -> not set"});
}

TEST_F(ResumeCheck, ACheckpointThatKeptAHashInsteadOfItsValuesGoesOnUnderTheSameFile) {
  const fs::path run = saved(config(), "old", 1), path = *newest_checkpoint(run) / "training" / "state.json";
  json::value state = parse_json(read_file(path), "state");
  state.get_object().erase("config");
  state.get_object()["config_fingerprint"] = hash_text(config().file_hash);
  std::ofstream(path) << json::serialize(state);
  EXPECT_TRUE(changes(run, config("save_interval = 7\n")).empty());
  EXPECT_NE(refusal([&] { changes(run, config("on_nan = \"skip\"\n")); }).find("another config"), std::string::npos);
}

TEST_F(ResumeCheck, AStateThatHoldsNonsenseIsRefused) {
  const fs::path run = saved(config(), "nonsense", 1), path = *newest_checkpoint(run) / "training" / "state.json";
  const std::string text = read_file(path);
  for (const char* bad : {"", "[]", "{}", "{\"step\": 1}", "{\"step\": -1, \"next_sequence\": 0}", "null"}) {
    std::ofstream(path) << bad;
    EXPECT_NE(refusal([&] { changes(run, config()); }).find("state.json"), std::string::npos) << bad;
  }
  json::value state = parse_json(text, "state");
  state.get_object()["config"].get_object()["batch"].get_object()["ramp_tokens"] = "] nonsense";
  std::ofstream(path) << json::serialize(state);
  EXPECT_NE(refusal([&] { changes(run, config()); }).find("step-00000001: line"), std::string::npos);
}

}  // namespace
}  // namespace fathom
