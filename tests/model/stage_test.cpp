// A training step cut into two stages of a pipeline, as two processes would run it.
#include <gtest/gtest.h>

#include "support/training.h"

namespace fathom {
namespace {

using testing::make_batch;
using testing::make_options;
using testing::RandomModel;
using testing::run_step;
using testing::StepRun;

// What one process has of its own. x and dx are what it receives and sends.
struct Process {
  Process(const RandomModel& m, const TrainingBatch& b, const Gradients& gradients, Stage layers)
      : ctx(training_context({.pool = pool, .arena = arena, .gradients = &gradients})),
        step{ctx, m.network, b.batch, rotary_rows(ctx, m.network, b.batch)},
        stage(std::move(layers)),
        x(scratch(ctx, b.batch.rows(), m.config.hidden_size)),
        dx(scratch(ctx, b.batch.rows(), m.config.hidden_size)) {}

  ThreadPool pool{1};
  Arena arena;
  Context ctx;
  Step step;
  Stage stage;
  MatView<float> x, dx;
};

void send(MatView<const float> from, MatView<float> to) { std::copy_n(from.data, from.rows * from.cols, to.data); }

// Layers [0, cut) and [cut, L).
StepRun run_in_two_stages(const RandomModel& m, const TrainingBatch& b, const StepOptions& o, int64_t cut) {
  StepRun r{{}, Buffer<float>(m.parameters().size)};
  const Gradients gradients = testing::gradients_in(m, r.gradients.vec());
  Process first(m, b, gradients, make_stage(b, o, 0, cut)),
      second(m, b, gradients, make_stage(b, o, cut, m.config.num_hidden_layers));
  embed_forward(first.step, first.x);
  layers_forward(first.step, first.stage, first.x);
  report_layers(m.config, first.stage, r.report);
  send(first.x, second.x);

  layers_forward(second.step, second.stage, second.x);
  report_layers(m.config, second.stage, r.report);
  std::vector<double> losses(b.targets.size());
  head_forward_and_backward(second.step, b, o, second.x, losses, second.dx);
  for (double loss : losses) r.report.loss_sum += loss;
  layers_backward(second.step, second.stage, second.x, second.dx);
  send(second.dx, first.dx);

  layers_backward(first.step, first.stage, first.x, first.dx);
  embed_backward(first.step, first.dx);
  return r;
}

TEST(Stage, TwoStagesOfAPipelineAreTheStepBitForBit) {
  ModelConfig tied = testing::tiny_llama_config();
  tied.tie_word_embeddings = true;
  for (const ModelConfig& c : {testing::tiny_v2_config(), testing::tiny_llama_config(), tied}) {
    const RandomModel m(c, 3, false, 1.2);
    const TrainingBatch b = make_batch(c, 5);
    for (const Recompute recompute : {Recompute::none, Recompute::layers}) {
      StepOptions o = make_options();
      o.balance.capacity_factor = 0.8;
      o.recompute = recompute;
      const StepRun whole = run_step(m, b, o);
      for (int64_t cut = 0; cut <= c.num_hidden_layers; ++cut) {
        const StepRun staged = run_in_two_stages(m, b, o, cut);
        EXPECT_EQ(staged.report.loss_sum, whole.report.loss_sum);
        EXPECT_DOUBLE_EQ(staged.report.balance.total(), whole.report.balance.total());
        EXPECT_EQ(staged.report.expert_counts, whole.report.expert_counts);
        EXPECT_EQ(staged.report.n_dropped, whole.report.n_dropped);
        EXPECT_TRUE(testing::same_bits(staged.all(), whole.all())) << cut;
      }
    }
  }
}

}  // namespace
}  // namespace fathom
