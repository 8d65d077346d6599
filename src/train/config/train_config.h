// What a training run is: one TOML file. Every key is used or refused by name; config_keys.h lists them, docs/config.md
// shows the list.
#pragma once
#include <filesystem>
#include <string>
#include <vector>

#include "config/config.h"
#include "data/stream.h"
#include "model/moe/balance.h"
#include "model/training/training_step.h"

namespace fathom {

struct DataConfig {
  std::string path;             // folder that `fathom data build` made; relative to the config file
  int64_t sequence_length = 0;  // tokens of one training sequence
  Positions positions = Positions::restart;
  std::vector<double> weights;  // of the sources; empty: the manifest's
};

// Sequences of one step: linear in consumed tokens from start_sequences to sequences over ramp_tokens, rounded down to
// a multiple of micro_batch.
struct BatchConfig {
  int64_t sequences = 0, start_sequences = 0, micro_batch = 0;
  double ramp_tokens = 0;
};

struct OptimizerConfig {
  double max_learning_rate = 0, beta1 = 0.9, beta2 = 0.95, epsilon = 1e-8, weight_decay = 0.1, grad_clip = 1.0;
};

// Linear warm-up over warmup_steps, then constant; times decay_factor at each of decay_at, fractions of `tokens`
// (warm-up and step decay: arXiv:2405.04434 section 3.1.2).
struct ScheduleConfig {
  double tokens = 0;  // of the whole run
  int64_t warmup_steps = 2000;
  std::vector<double> decay_at = {0.6, 0.9};
  double decay_factor = 0.316;
};

enum class OnNan : uint8_t { stop, skip };

struct RunConfig {
  uint64_t seed = 0;
  double init_std = 0.006;
  MatmulPrecision products = MatmulPrecision::bf16;
  Recompute recompute = Recompute::none;
  OnNan on_nan = OnNan::stop;
  int64_t log_interval = 10, eval_interval = 200, eval_sequences = 64, save_interval = 200,
          keep_checkpoints = 3;  // steps; eval and save 0: never but at the end
  std::string continue_from;     // checkpoint whose weights a new run begins with (the long-context stage); empty: none
  bool allow_other_tokenizer = false;  // its ids may mean other words than the data's
};

struct TrainConfig {
  std::string where;  // the file, for messages
  ModelConfig model;
  DataConfig data;
  BatchConfig batch;
  OptimizerConfig optimizer;
  ScheduleConfig schedule;
  BalanceOptions balance;
  RunConfig run;
  // Hash of the file without intervals and paths. Checkpoints of 0.1 and before hold it in place of the values
  // themselves (resume_check.h).
  uint64_t file_hash = 0;
};

// bad_input naming file, section and key of all that is wrong: unknown or missing keys, wrong types, values out of
// range, shapes that do not divide.
// "-" is stdin. Paths in it are relative to its folder, or to the working folder where it comes through a pipe.
TrainConfig read_train_config(const std::filesystem::path& path);
TrainConfig parse_train_config(std::string_view toml, const std::string& where, const std::filesystem::path& folder);

}  // namespace fathom
