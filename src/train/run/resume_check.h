// May a run go on from a checkpoint that was saved under another config? What decides the weights must be as it was;
// what decides none, or nothing that has happened yet, may change.
#pragma once
#include <string>
#include <vector>

#include "base/json/json.h"
#include "train/config/train_config.h"

namespace fathom {

// Where a run is. Data order, noise and learning rate are functions of these numbers, so nothing else needs saving.
struct TrainState {
  int64_t step = 0;           // updates done
  int64_t next_sequence = 0;  // global index into the stream
  int64_t tokens = 0;         // inputs seen
  int64_t skipped_steps = 0;  // by on_nan = "skip"
};

// Section by section, every key that a checkpoint may be refused for, with its value as TOML writes it: what state.json
// keeps as "config".
json::object config_values(const TrainConfig& config);

// "[model] rope_theta: 10000 -> 20000" for every key that decides what the network computes and differs.
std::vector<std::string> model_changes(const ModelConfig& before, const ModelConfig& now);

// What is different from the config under which `saved` was made, each as a sentence. bad_input naming every key that
// may not change, with both values:
//     [schedule] may change while every learning rate up to `state` stays what it was. `tokens` alone may always change
//     (a longer run is what is mostly wanted after one); the sentence then says at which step the rates part.
std::vector<std::string> check_config_unchanged(const json::object& saved, const TrainConfig& config,
                                                const TrainState& state, const std::string& where);

}  // namespace fathom
