// The logits of prompts that are read, with nothing generated after them.
#pragma once
#include "engine/generation.h"

namespace fathom {

// One thread uses it. The engine must outlive it.
class PromptReader {
 public:
  using RowFn = std::function<void(int64_t index, VecView<const float> logits)>;

  // Prompts of up to `rows` tokens in all cross the network together, so that the weights of each expert are read once
  // for them.
  explicit PromptReader(Engine& engine, int64_t rows = kChunkTokens);

  // Hands the logits after every id from index `from` on to `row`, in order: those of prompts that were added before
  // come first, where they fit into `rows` together. Errors as of Scheduler::submit.
  void add(std::span<const int32_t> ids, int64_t from, RowFn row);
  bool has_work() const noexcept { return scheduler_.has_work(); }
  // Reads up to `rows` tokens. Throws what the engine or a `row` threw, as an Error.
  void step();
  void read_all() {
    while (has_work()) step();
  }

 private:
  std::optional<Error> error_;
  Scheduler scheduler_;
};

}  // namespace fathom
