#include "train/config/config_template.h"

#include "model/footprint.h"
#include "train/plan/flops.h"
#include "train/tiny_run.h"

namespace fathom {
namespace {

class ConfigTemplate : public TinyRun {
 protected:
  static std::shared_ptr<const TokenDataset> data() { return TokenDataset::open(folder() / "data"); }
  static TrainConfig written(const TemplateOptions& options) {
    return parse_train_config(config_template(*data(), options), "written.toml", folder());
  }
};

TEST_F(ConfigTemplate, EverySizeIsReadAndMayBegin) {
  for (const ModelSize& size : kModelSizes)
    for (bool dense : {false, true}) {
      const TrainConfig c = written({.hidden_size = size.hidden_size, .dense = dense});
      if (size.hidden_size < 384) {  // the others' checkpoints are larger than the disk of a test may be
        EXPECT_TRUE(check_run(c, data(), folder() / "never").notes.empty()) << size.name;
      }
      EXPECT_EQ(c.model.vocab_size, data()->vocab_size());
      EXPECT_EQ(c.model.bos_token_id, data()->tokenizer().bos());
      EXPECT_EQ(c.model.n_routed_experts > 0, !dense);
    }
}

TEST_F(ConfigTemplate, ItLearnsItsText) {
  const TrainConfig c = written({.hidden_size = 32, .dense = false});
  Trainer t = trainer(c);
  const double before = t.evaluate_held_out(8).loss;
  for (int i = 0; i < 20 && !t.finished(); ++i) t.step();
  EXPECT_LT(t.evaluate_held_out(8).loss, before - 0.5);
}

TEST_F(ConfigTemplate, TheTokensAreOneToFourEpochsUnlessSaid) {
  const auto epoch = static_cast<double>(data()->n_tokens(Split::train));
  EXPECT_EQ(written({}).schedule.tokens, 4 * epoch);
  const TrainConfig c = written({.tokens = 1e9});
  EXPECT_EQ(c.schedule.tokens, 1e9);
  EXPECT_EQ(c.batch.sequences, 32);
  EXPECT_LT(c.schedule.warmup_steps, expected_steps(c) / 10);
}

TEST_F(ConfigTemplate, TheWidthFollowsFromTheNumberOfParameters) {
  for (double wanted : {3e6, 9e6, 3e7, 3e8}) {
    const TrainConfig c = written({.hidden_size = hidden_size_for(wanted, 300, false)});
    const auto found = static_cast<double>(footprint(c.model).parameters);
    EXPECT_GT(found, wanted / 1.7);
    EXPECT_LT(found, wanted * 1.7);
  }
}

TEST_F(ConfigTemplate, APathOfAnyLettersIsWrittenAsToml) {
  const std::string path = "da\"ta \\ \n \xC3\xA9";
  EXPECT_EQ(written({.data_path = path}).data.path, (folder() / path).lexically_normal());
}

TEST_F(ConfigTemplate, WithoutHeldOutTextItTrainsWithoutEvaluation) {
  DataBuildOptions build;
  build.inputs = {{folder() / "text", 1, ""}};
  build.tokenizer_json = read_file(folder() / "data" / "tokenizer.json");
  build.output = folder() / "all";
  build.held_out = 0;
  build.threads = 1;
  build.quiet = true;
  build_data(build);
  const auto all = TokenDataset::open(build.output);
  const TrainConfig c = parse_train_config(config_template(*all, {.data_path = "all"}), "written.toml", folder());
  EXPECT_EQ(c.run.eval_interval, 0);
  EXPECT_FALSE(check_run(c, all, folder() / "never").evaluates);
}

}  // namespace
}  // namespace fathom
