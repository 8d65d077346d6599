// Saving and resuming a run, bit for bit.
//
// RUN/step-00000200/ is a Hugging Face folder that everything can load:
//   - config.json, model*.safetensors: weights as the run computes with them, matrices BF16 for bf16 products, else F32
//   - tokenizer.json and the files beside it, as they were in the data folder
//   - training/optimizer.safetensors: master weights and both moments (optimizer_file.h)
//   - training/state.json: position, config, fingerprints; XXH64 and size of every other file
// Written as RUN/step-00000200.partial, every file flushed, then renamed, then the folder flushed: killed at any
// moment, what bears the final name is whole. A checksum that does not fit names the file.
#pragma once
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "train/config/train_config.h"
#include "train/optimizer.h"
#include "train/parameters.h"
#include "train/run/optimizer_file.h"
#include "train/run/resume_check.h"

namespace fathom {

// tokenizer.json and what lies beside it: name -> content.
using TokenizerFiles = std::map<std::string, std::string>;

// The folder step-N of a run with the largest N; nothing when there is none.
std::optional<std::filesystem::path> newest_checkpoint(const std::filesystem::path& run);

// All that a checkpoint is made of.
struct RunSnapshot {
  const TrainConfig& config;
  uint64_t stream_fingerprint;
  const TrainState& state;
  const Parameters& parameters;
  OptimizerParts optimizer;
  const TokenizerFiles& tokenizer;
};
void save_checkpoint(const std::filesystem::path& run, const RunSnapshot& snapshot);

// bad_input when training/state.json is missing, or is not what save_checkpoint wrote.
TrainState read_train_state(const std::filesystem::path& checkpoint);

// What has changed in the config and may (resume_check.h). bad_input when the checkpoint belongs to another config or
// other data (TokenStream::fingerprint). Reads state.json alone.
std::vector<std::string> check_resumable(const std::filesystem::path& checkpoint, const TrainConfig& config,
                                         uint64_t stream_fingerprint);

// Reads back what save_checkpoint wrote; of the moments, the optimiser's range. bad_input as check_resumable, and when
// a file is damaged.
TrainState load_checkpoint(const std::filesystem::path& checkpoint, const TrainConfig& config,
                           uint64_t stream_fingerprint, Parameters& parameters, AdamW& optimizer);

// What one checkpoint takes on disk, but for headers and state.json.
uint64_t checkpoint_bytes(const TrainConfig& config, const TokenizerFiles& tokenizer);

// Removes the oldest checkpoints beyond `keep` (those with a training/state.json are counted), and what killed runs
// left half-written.
void prune_checkpoints(const std::filesystem::path& run, int64_t keep);

}  // namespace fathom
