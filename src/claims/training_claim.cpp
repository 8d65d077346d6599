#include "claims/training_claim.h"

#include <memory>

#include "base/file/container.h"
#include "base/machine/cpu.h"
#include "base/progress.h"
#include "base/random.h"
#include "claims/scaled_shapes.h"
#include "convert/synth/shapes.h"
#include "kernels/dispatch.h"
#include "kernels/peak.h"
#include "measure/measure.h"
#include "model/footprint.h"
#include "train/plan/memory_plan.h"
#include "train/update.h"

namespace fathom {
namespace {

TrainConfig train_config(const ModelConfig& model, int64_t length, int64_t sequences) {
  TrainConfig c;
  c.model = model;
  c.data.sequence_length = length;
  c.batch.sequences = c.batch.start_sequences = c.batch.micro_batch = sequences;
  return c;
}

TrainedShape describe_shape(const char* name, const ModelConfig& shape, const TrainingClaimOptions& o) {
  TrainedShape t;
  t.name = name;
  t.paper_flops = flops_per_token(train_config(shape, kPaperLength, 1));
  t.parameter_flops = 2 * static_cast<double>(footprint(shape).activated_parameters_without_embedding);
  t.scaled = scaled_shape(shape, o.scale);
  const Footprint f = footprint(t.scaled);
  t.parameters = f.parameters;
  t.activated = f.activated_parameters_without_embedding;
  t.flops = flops_per_token(train_config(t.scaled, scaled_length(kPaperLength, o.scale), 1));
  return t;
}

void check_memory(const TrainingClaim& claim) {
  int64_t need = 0;
  for (const TrainedShape& s : claim.shapes)
    need += total_bytes(plan_memory(train_config(s.scaled, claim.length, claim.sequences)));
  const uint64_t available = available_memory_bytes();
  if (available > 0 && static_cast<uint64_t>(need) > available)
    throw_resource(
        "both shapes at --scale {} with --sequences {} need {} of memory to train, and {} are free; try a larger "
        "--scale or fewer --sequences",
        claim.scale, claim.sequences, human_bytes(static_cast<double>(need)),
        human_bytes(static_cast<double>(available)));
}

// One shape in training: its parameters, moments and gradients, and micro-batches of random tokens.
class ShapeTraining {
 public:
  ShapeTraining(ThreadPool& pool, const TrainingClaim& claim, const TrainedShape& shape)
      : config_(shape.scaled),
        parameters_(config_, MatmulPrecision::bf16),
        optimizer_(parameters_),
        network_(make_network(config_, parameters_.weights())),
        update_({.pool = pool, .arena = arena_, .numerics = Numerics::training(MatmulPrecision::bf16)}, network_,
                parameters_, optimizer_, {}) {
    parameters_.initialise(pool, 1, 0.02);
    for (int64_t s = 0; s < claim.sequences; ++s) add_sequence(claim.length, static_cast<uint64_t>(s));
    options_.balance = {.expert_alpha = 0.003};
    options_.set_means_over(std::span(&batch_, 1));
  }

  // Seconds of a micro-batch.
  double accumulate() {
    const double start = clock_seconds();
    update_.accumulate(batch_, options_);
    return clock_seconds() - start;
  }
  double apply() {
    const double start = clock_seconds();
    update_.apply({.rate = 1e-4, .clip = update_.clip(update_.gradient_norm()), .t = ++steps_});
    return clock_seconds() - start;
  }

 private:
  void add_sequence(int64_t length, uint64_t number) {
    std::vector<int32_t> ids;
    for (int64_t i = 0; i <= length; ++i)
      ids.push_back(static_cast<int32_t>(uniform01(7, number, static_cast<uint64_t>(i)) *
                                         static_cast<double>(config_.vocab_size)));
    batch_.sequences.push_back({.first = batch_.batch.rows(), .n = length, .id = number});
    batch_.batch.add_whole(std::span(ids).first(static_cast<size_t>(length)), 0);
    batch_.targets.insert(batch_.targets.end(), ids.begin() + 1, ids.end());
  }

  ModelConfig config_;
  Arena arena_;
  Parameters parameters_;
  AdamW optimizer_;
  Network network_;
  Update update_;
  TrainingBatch batch_;
  StepOptions options_;
  int64_t steps_ = 0;
};

}  // namespace

double TrainedShape::median_seconds() const { return median(seconds); }

std::vector<double> TrainingClaim::reductions() const {
  std::vector<double> all;
  for (size_t i = 0; i < shapes[kTrainedV2].seconds.size(); ++i)
    all.push_back(1 - shapes[kTrainedV2].seconds[i] / shapes[kTrainedDense].seconds[i]);
  return all;
}

TrainingClaim claim_training(const TrainingClaimOptions& o) {
  ThreadPool pool(o.threads);
  TrainingClaim claim{.scale = o.scale,
                      .length = scaled_length(kPaperLength, o.scale),
                      .sequences = o.sequences,
                      .threads = pool.size(),
                      .cpu = cpu_model_name(),
                      .shapes = {describe_shape("DeepSeek-V2", *shape_by_name("v2"), o),
                                 describe_shape("DeepSeek 67B", *shape_by_name("dense-67b"), o)}};
  check_memory(claim);
  std::array<std::unique_ptr<ShapeTraining>, 2> training;
  for (size_t i = 0; i < 2; ++i) training[i] = std::make_unique<ShapeTraining>(pool, claim, claim.shapes[i]);
  const size_t total = 2 * (static_cast<size_t>(o.rounds) + 1);
  size_t done = 0;
  for (int round = -1; round < o.rounds; ++round)  // the first warms up
    for (size_t turn = 0; turn < 2; ++turn) {
      if (o.progress) o.progress(done++, total);
      const size_t i = (static_cast<size_t>(round + 1) + turn) % 2;  // who begins alternates
      const double seconds = training[i]->accumulate(), update = training[i]->apply();
      if (round < 0) continue;
      claim.shapes[i].seconds.push_back(seconds);
      claim.shapes[i].update_seconds.push_back(update);
    }
  claim.peak_flops = peak_products(pool, gemm_kernel(MatmulPrecision::bf16), 0.3);
  return claim;
}

}  // namespace fathom
