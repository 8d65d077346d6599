// A pretraining run: where its batches come from, what it does with a loss that is not finite, and what it saves. What
// an update is, it shares with other kinds of training (update.h).
#pragma once
#include <atomic>
#include <filesystem>
#include <functional>

#include "data/stream.h"
#include "model/training/training_step.h"
#include "train/config/train_config.h"
#include "train/run/checkpoint.h"
#include "train/update.h"

namespace fathom {

struct StepResult {
  int64_t step = 0;       // number of the update, from 1
  double tokens = 0;      // seen so far
  double loss = 0;        // mean -log p over the step's targets, nats
  BalanceLosses balance;  // summed over layers, mean over sequences
  double gradient_norm = 0, learning_rate = 0, seconds = 0;
  int64_t step_tokens = 0, sequences = 0, n_dropped = 0;
  bool skipped = false;                          // not finite, and on_nan = "skip"
  std::vector<std::vector<double>> expert_load;  // of each MoE layer: share of its pairs per expert
};

struct HeldOutResult {
  double loss = 0, bits_per_byte = 0;
  int64_t targets = 0;
};

class Trainer {
 public:
  // A new run (or one whose weights come from run.continue_from); or, from a checkpoint of this config and data, the
  // run that made it: from there on, the bits are those of a run that never stopped. What can be known to be wrong is
  // refused by check_run (preflight.h) before. All memory but activations is taken here. The pool must outlive it, and
  // may be another's too.
  Trainer(const TrainConfig& config, std::shared_ptr<const TokenDataset> data, ThreadPool& pool,
          const std::optional<std::filesystem::path>& checkpoint = std::nullopt);

  void save(const std::filesystem::path& run) const;

  bool finished() const noexcept { return static_cast<double>(state_.tokens) >= config_.schedule.tokens; }
  const TrainState& state() const noexcept { return state_; }
  const Parameters& parameters() const noexcept { return parameters_; }

  // One update. resource/bad_input Error when loss or gradient is not finite and on_nan is "stop": nothing has been
  // updated then.
  StepResult step();

  // Mean loss and bits per byte over evenly spaced held-out sequences, at most n_sequences. NaN where there is nothing
  // to divide by.
  HeldOutResult evaluate_held_out(int64_t n_sequences);

  // Operations per second that this run's products can reach on its threads (kernels/peak.h), measured for 0.1 s; 0:
  // not known (FATHOM_ISA=ref).
  double peak_flops();

 private:
  Context context() { return {.pool = pool_, .arena = arena_, .numerics = Numerics::training(config_.run.products)}; }
  TrainingBatch batch_of(std::span<const PackedSequence> sequences) const;

  // The parts of a step, in their order.
  std::vector<TrainingBatch> fetch(int64_t n_sequences);
  void accumulate(std::span<const TrainingBatch> micro_batches, StepResult& r);
  bool decide(const StepResult& r);  // whether to apply
  void apply(const StepResult& r);

  TrainConfig config_;
  std::shared_ptr<const TokenDataset> data_;
  TokenizerFiles tokenizer_files_;  // read at the start: the data folder may be gone when a checkpoint is saved
  TokenStream stream_;
  ThreadPool& pool_;
  Arena arena_;
  Parameters parameters_;
  AdamW optimizer_;
  Network network_;
  Update update_;
  TrainState state_;
};

}  // namespace fathom
