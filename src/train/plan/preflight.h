// What a training run would refuse sooner or later, found before its first step.
#pragma once
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "data/stream.h"
#include "train/config/train_config.h"
#include "train/run/checkpoint.h"

namespace fathom {

struct RunCheck {
  std::optional<std::filesystem::path> checkpoint;  // that the run goes on from; none: a new run
  TrainState state;                                 // its
  bool finished = false;                            // it has all tokens of the schedule
  bool evaluates = true;                            // false: nothing was held out, and no evaluation was asked for
  std::vector<std::string> notes;                   // sentences: what is as the config says, and perhaps not as meant
};

// Looks at the config, the data, the run folder (which need not exist), its newest checkpoint, and continue_from. Every
// fault that can be known now is told in one bad_input Error:
//   - more tokens in the tokenizer than rows in the embedding; ids of bos, eos and pad that the tokenizer contradicts
//   - data or held-out text without anything to predict, where it is trained or evaluated on
//   - a checkpoint that the config may not go on from (check_resumable)
//   - continue_from: no model, of other shapes, or of another tokenizer than the data's
//   - a run whose checkpoints are gone, though its metrics tell that there were some
//   - a run folder that cannot be written, or whose disk is too small for the checkpoints to come
// Writes nothing.
RunCheck check_run(const TrainConfig& config, const std::shared_ptr<const TokenDataset>& data,
                   const std::filesystem::path& run);

// Checkpoints that will be on the disk at the same time, the one being written included.
int64_t checkpoints_at_once(const TrainConfig& config);

// The checkpoint that run.continue_from names: itself, or the newest one of a run.
std::filesystem::path continued_checkpoint(const TrainConfig& config);

StreamOptions stream_options(const TrainConfig& config);

// tokenizer.json and the files beside it, of a data folder.
TokenizerFiles read_tokenizer_files(const std::filesystem::path& data_folder);

}  // namespace fathom
