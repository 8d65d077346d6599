#include "train/plan/preflight.h"

#include "train/tiny_run.h"

namespace fathom {
namespace {

class Preflight : public TinyRun {
 protected:
  static std::shared_ptr<const TokenDataset> data() { return TokenDataset::open(folder() / "data"); }
  static RunCheck check(const TrainConfig& c) { return check_run(c, data(), folder() / "never"); }
  static std::string refused(const TrainConfig& c) {
    return refusal([&] { check(c); });
  }

  // The same text with the documents of the held-out side, or with other options.
  static std::shared_ptr<const TokenDataset> built(const std::string& name, const std::string& text, double held_out) {
    std::ofstream(folder() / (name + ".txt")) << text;
    DataBuildOptions build;
    build.inputs = {{folder() / (name + ".txt"), 1, ""}};
    build.tokenizer_json = read_file(folder() / "data" / "tokenizer.json");
    build.tokenizer_config_json = read_file(folder() / "data" / "tokenizer_config.json");
    build.output = folder() / name;
    build.held_out = held_out;
    build.threads = 1;
    build.quiet = true;
    build_data(build);
    return TokenDataset::open(build.output);
  }
  static int32_t bos() { return *data()->tokenizer().bos(); }
  static int32_t eos() { return *data()->tokenizer().eos(); }
};

TEST_F(Preflight, AGoodRunHasNothingToSay) {
  TrainConfig c = config();
  c.model.bos_token_id = bos();
  c.model.eos_token_ids = {eos()};
  const RunCheck r = check(c);
  EXPECT_TRUE(r.evaluates);
  EXPECT_FALSE(r.checkpoint);
  EXPECT_TRUE(r.notes.empty());
  EXPECT_FALSE(fs::exists(folder() / "never"));
}

TEST_F(Preflight, IdsThatTheTokenizerContradictsAreRefused) {
  TrainConfig c = config();
  c.model.bos_token_id = 5;
  EXPECT_NE(refused(c).find(fmt::format("bos_token_id is 5 ('&'), but the tokenizer of the data has {}", bos())),
            std::string::npos)
      << refused(c);
  c = config();
  c.model.eos_token_ids = {5};
  EXPECT_NE(refused(c).find("eos_token_id is 5"), std::string::npos);
  c.model.eos_token_ids = {eos(), 400};
  EXPECT_NE(refused(c).find("eos_token_id is 400, but the tokenizer of the data has the ids 0 to 299"),
            std::string::npos);
  c.model.eos_token_ids = {eos(), 7};  // a second one is the user's affair
  EXPECT_NO_THROW(check(c));
  c.model.pad_token_id = 300;
  EXPECT_NE(refused(c).find("pad_token_id is 300, but vocab_size is 300"), std::string::npos);
  c = config();
  c.model.vocab_size = 299;
  EXPECT_NE(refused(c).find("vocab_size is 299, but the tokenizer of the data has 300 tokens"), std::string::npos);
}

TEST_F(Preflight, AllFaultsAreToldAtOnce) {
  TrainConfig c = config();
  c.model.bos_token_id = 5;
  c.model.eos_token_ids = {400};
  c.run.continue_from = (folder() / "no-such-run").string();
  const std::string said = refused(c);
  for (const char* part : {"test.toml: 3 things to mend", "bos_token_id", "eos_token_id", "no-such-run"})
    EXPECT_NE(said.find(part), std::string::npos) << said;
}

TEST_F(Preflight, WithoutHeldOutTextARunThatEvaluatesIsRefusedAndOneThatDoesNotIsTold) {
  const auto none = built("none-held-out", "The old heron saw 3 foxes by the river. The end.", 0);
  TrainConfig c = config();
  EXPECT_NE(
      refusal([&] { check_run(c, none, folder() / "never"); }).find("[run] eval_interval = 200 asks for its loss"),
      std::string::npos);
  c.run.eval_interval = 0;
  const RunCheck r = check_run(c, none, folder() / "never");
  EXPECT_FALSE(r.evaluates);
  ASSERT_EQ(r.notes.size(), 1u);
  EXPECT_NE(r.notes[0].find("no text was held out"), std::string::npos);
}

TEST_F(Preflight, AWarmUpLongerThanTheRunIsTold) {
  TrainConfig c = config();
  c.schedule.tokens = 5000;
  c.schedule.warmup_steps = 2000;
  ASSERT_EQ(check(c).notes.size(), 1u);
  EXPECT_NE(check(c).notes[0].find("the learning rate never reaches 0.005"), std::string::npos);
}

TEST_F(Preflight, MoreMemoryThanThereIsIsTold) {
  TrainConfig c = config();
  c.batch.sequences = c.batch.start_sequences = c.batch.micro_batch = 1 << 22;
  c.schedule.tokens = 1e12;
  ASSERT_EQ(check(c).notes.size(), 1u);
  EXPECT_NE(check(c).notes[0].find("of memory"), std::string::npos);
}

TEST_F(Preflight, ADiskTooSmallForTheCheckpointsToComeIsRefused) {
  TrainConfig c = config();
  c.run.save_interval = 1;
  c.run.keep_checkpoints = 1'000'000'000'000;
  EXPECT_NE(refused(c).find("checkpoints of"), std::string::npos);
  EXPECT_NE(refused(c).find("keep_checkpoints = 1000000000000"), std::string::npos);
  c.run.save_interval = 0;  // at the end alone: one checkpoint, whatever may be kept
  EXPECT_EQ(checkpoints_at_once(c), 1);
  EXPECT_NO_THROW(check(c));
}

TEST_F(Preflight, CheckpointsAtOnceAreThoseThatStayAndTheOneBeingWritten) {
  TrainConfig c = config();
  c.schedule.tokens = 48 * 4 * 100;
  c.batch.start_sequences = 4;
  c.run.save_interval = 10;
  c.run.keep_checkpoints = 3;
  EXPECT_EQ(checkpoints_at_once(c), 4);
  c.run.save_interval = 60;
  EXPECT_EQ(checkpoints_at_once(c), 2);
}

TEST_F(Preflight, ARunWhoseCheckpointsAreGoneDoesNotBeginAgainInSilence) {
  const fs::path run = folder() / "lost";
  fs::create_directories(run);
  TrainConfig c = config();
  c.run.save_interval = 100;
  const auto with_metrics = [&](int step) {
    std::ofstream(run / "metrics.jsonl") << fmt::format("{{\"step\":1}}\n{{\"step\":{}}}\n{{\"step\":", step);
    return check_run(c, data(), run);
  };
  EXPECT_NE(refusal([&] { with_metrics(101); }).find("metrics.jsonl: tells of 101 steps, but there is no checkpoint"),
            std::string::npos);
  EXPECT_NO_THROW(with_metrics(100));  // killed before it was saved
}

TEST_F(Preflight, WeightsThatDoNotFitTheSourcesAreRefused) {
  TrainConfig c = config();
  c.data.weights = {1, 2};
  EXPECT_NE(refused(c).find("2 mixture weights were given for 1 sources"), std::string::npos);
}

TEST_F(Preflight, AFolderOfAnotherKindIsNoPlaceForARun) {
  const std::string text = refusal([] { check_run(config(), data(), folder() / "data"); });
  EXPECT_NE(text.find("so it is a folder of another kind than a training run's"), std::string::npos) << text;
}

TEST_F(Preflight, ARunFolderBelowAFileIsRefused) {
  std::ofstream(folder() / "file") << "";
  EXPECT_NE(refusal([&] { check_run(config(), data(), folder() / "file" / "run"); }).find("file is no folder"),
            std::string::npos);
}

// ---- continue_from ----

class ContinuedRun : public Preflight {
 protected:
  static TrainConfig continued(const std::string& name) {
    const fs::path run = folder() / name;
    Trainer t = trainer(config());
    t.step();
    t.save(run);
    TrainConfig c = config();
    c.run.continue_from = run.string();
    return c;
  }
  // tokenizer.json of a checkpoint with two words in each other's place.
  static void swap_words(const fs::path& path, const std::string& a, const std::string& b) {
    std::string text = read_file(path);
    for (const auto& [from, to] : {std::pair{a, std::string("\"@@\":")}, {b, a}, {std::string("\"@@\":"), b}}) {
      const size_t at = text.find(from);
      ASSERT_NE(at, std::string::npos) << from;
      text.replace(at, from.size(), to);
    }
    std::ofstream(path) << text;
  }
};

TEST_F(ContinuedRun, TheSameTokenizerIsAccepted) { EXPECT_TRUE(check(continued("same")).notes.empty()); }

TEST_F(ContinuedRun, AnotherTokenizerIsRefusedUnlessAllowedByName) {
  TrainConfig c = continued("other");
  swap_words(continued_checkpoint(c) / "tokenizer.json", "\"A\":", "\"B\":");
  const std::string said = refused(c);
  EXPECT_NE(said.find("was trained with another tokenizer"), std::string::npos) << said;
  EXPECT_NE(said.find("2 of 300 ids mean other words"), std::string::npos) << said;
  c.run.allow_other_tokenizer = true;
  EXPECT_NO_THROW(check(c));
}

TEST_F(ContinuedRun, WeightsOfOtherShapesAreRefused) {
  TrainConfig c = continued("shapes");
  c.model.intermediate_size = 64;
  EXPECT_NE(refused(c).find("intermediate_size 64"), std::string::npos) << refused(c);
}

TEST_F(ContinuedRun, WhatNoShapeShowsIsTold) {
  TrainConfig c = continued("theta");
  c.model.rope_theta = 20000;
  ASSERT_EQ(check(c).notes.size(), 1u);
  EXPECT_NE(check(c).notes[0].find("[model] rope_theta: 1E4 -> 2E4"), std::string::npos) << check(c).notes[0];
}

TEST_F(ContinuedRun, WithoutTokenizerInTheCheckpointTheDoubtIsTold) {
  const TrainConfig c = continued("bare");
  fs::remove(continued_checkpoint(c) / "tokenizer.json");
  ASSERT_EQ(check(c).notes.size(), 1u);
  EXPECT_NE(check(c).notes[0].find("has no tokenizer"), std::string::npos);
}

TEST_F(ContinuedRun, ARunThatHasBegunNeedsItsFirstWeightsNoMore) {
  TrainConfig c = continued("first");
  Trainer t = trainer(c);
  t.step();
  const fs::path run = folder() / "second";
  t.save(run);
  fs::remove_all(c.run.continue_from);
  EXPECT_NO_THROW(check_run(c, data(), run));
  EXPECT_EQ(resumed(c, run).state().step, 1);
}

}  // namespace
}  // namespace fathom
