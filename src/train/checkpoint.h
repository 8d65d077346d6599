// Saving and resuming a run, bit for bit.
//
//   RUN/step-00000200/                     a Hugging Face folder that everything can load:
//     config.json, model*.safetensors      weights as the run computes with them: BF16 matrices for bf16 products, else
//     F32 tokenizer.json, tokenizer_config.json training/optimizer.safetensors       master weights and both moments,
//     F32, flat training/state.json                  position, seeds, fingerprints; XXH64 and size of every other file
//
// Written as RUN/step-00000200.partial, every file flushed, then renamed, then the folder flushed: killed at any
// moment, what bears the final name is whole. A checksum that does not fit names the file.
#pragma once
#include <filesystem>
#include <optional>

#include "data/dataset.h"
#include "train/optimizer.h"
#include "train/parameters.h"
#include "train/train_config.h"

namespace fathom {

// Where a run is. Data order, noise and learning rate are functions of these numbers, so nothing else needs saving.
struct TrainState {
  int64_t step = 0;           // updates done
  int64_t next_sequence = 0;  // global index into the stream
  int64_t tokens = 0;         // inputs seen
  int64_t skipped_steps = 0;  // by on_nan = "skip"
};

struct RunIdentity {
  uint64_t config = 0;  // TrainConfig::fingerprint
  uint64_t stream = 0;  // TokenStream::fingerprint
};

// The newest whole checkpoint of a run; nothing when there is none.
std::optional<std::filesystem::path> newest_checkpoint(const std::filesystem::path& run);

void save_checkpoint(const std::filesystem::path& run, const TrainConfig& config, const RunIdentity& identity,
                     const TrainState& state, const Parameters& parameters, const AdamW& optimizer,
                     const TokenDataset& data);

// Reads back what save_checkpoint wrote. bad_input when a file is damaged, or when the checkpoint belongs to another
// config or other data.
TrainState load_checkpoint(const std::filesystem::path& checkpoint, const RunIdentity& identity, Parameters& parameters,
                           AdamW& optimizer);

// Removes the oldest checkpoints beyond `keep`, and what killed runs left half-written.
void prune_checkpoints(const std::filesystem::path& run, int64_t keep);

}  // namespace fathom
