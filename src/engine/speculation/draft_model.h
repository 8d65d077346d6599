// Drafts by a smaller model with the same vocabulary, which has an engine of its own.
#pragma once
#include "engine/engine.h"
#include "engine/request.h"
#include "engine/speculation/proposer.h"

namespace fathom {

// Chooses as the request says, with the draw of the same position: what it finds likely enough, the model it drafts
// for is likely to draw as well. Its cache follows the history: of a draft, the ids that were accepted stay in it.
// Its errors (logits that are not finite, no memory) end its drafts until the next begin, not the generation.
class DraftModel final : public Proposer {
 public:
  explicit DraftModel(Engine& engine) : engine_(engine) {}  // which must outlive it

  int n_kinds() const noexcept override { return 1; }
  bool is_free() const noexcept override { return false; }
  void begin(std::span<const int32_t> history, const GenerateRequest& request) override;
  // None when its context is full, or an id is outside its vocabulary.
  std::optional<int> kind(std::span<const int32_t> history) override;
  std::vector<int32_t> propose(std::span<const int32_t> history, int64_t most) override;

 private:
  void keep_what_agrees(std::span<const int32_t> history);

  Engine& engine_;
  SequenceCache sequence_;
  std::vector<int32_t> ids_;  // the first sequence_.length() are in the cache
  int64_t n_agreed_ = 0;      // ids that are known to be the history's
  int64_t n_checked_ = 0;     // ids of the history that are known to be in the vocabulary
  bool is_usable_ = true;
  SamplingOptions sampling_;
  int64_t n_usable_ids_ = 0, n_prompt_ = 0;
};

}  // namespace fathom
