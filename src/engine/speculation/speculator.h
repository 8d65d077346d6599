// Speculative decoding: a step runs the chosen token and drafts of the ones after it. Where a draft is the token that
// is then chosen, its logits are there already, and no step is needed. Source: arXiv:2211.17192, arXiv:2302.01318.
//
// The result is that of plain decoding, bit for bit: rows of such a step have the bits of steps of one token
// (Batch::Steps), tokens are chosen by the same call from the same logits, and a draft only decides whether
// logits are at hand. So it is for any temperature. Measured times decide how many drafts are verified, and thereby
// the speed alone.
#pragma once
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "engine/request.h"
#include "engine/speculation/proposer.h"
#include "engine/speculation/speculation_cost.h"
#include "tensor/view.h"

namespace fathom {

struct SpeculationCounts {
  int64_t steps = 0;                   // of generation
  int64_t proposed = 0, accepted = 0;  // tokens drafted and verified; those accepted
  double tokens_per_step() const noexcept {
    return steps > 0 ? static_cast<double>(steps + accepted) / static_cast<double>(steps) : 0;
  }
  SpeculationCounts operator-(const SpeculationCounts& o) const noexcept {
    return {steps - o.steps, proposed - o.proposed, accepted - o.accepted};
  }
};

// Where in the step's cost a draft stands: what steps take, and the rows of other sequences in this one.
struct StepCost {
  const StepTimes& times;
  int64_t rows_beside = 0;
};

// Drafts for one sequence at a time; what it learns of them is kept from one generation to the next. One thread.
class Speculator {
 public:
  // The proposer whose drafts are expected to give the most tokens per second is asked in each step, of equal ones the
  // first. always > 0: the first that has a draft, and this many tokens (at most kMaxDraft) whether it pays or not.
  explicit Speculator(std::vector<std::unique_ptr<Proposer>> proposers, int64_t always = 0);

  const SpeculationCounts& counts() const noexcept { return counts_; }

 private:
  friend class Speculation;
  struct Source {
    std::unique_ptr<Proposer> proposer;
    std::vector<Acceptance> by_kind;
    RecentMedian seconds_per_draft;
  };
  // The first n ids are verified; the others are only compared with what is chosen.
  struct Draft {
    std::vector<int32_t> ids;
    int64_t n = 0;
    Acceptance* acceptance = nullptr;
  };
  Draft draft(std::span<const int32_t> history, int64_t most, const StepCost& cost);
  DraftLength count(Source& source, int kind, int64_t most, const StepCost& cost) const;

  std::vector<Source> sources_;
  int64_t always_;
  SpeculationCounts counts_;
};

inline SpeculationCounts counts_of(const std::shared_ptr<Speculator>& s) noexcept {
  return s != nullptr ? s->counts() : SpeculationCounts{};
}

// One generation of one sequence: says which ids the next step should run, and learns from what came of them. It calls
// no engine, so that a scheduler gives the ids of several sequences to one step. Of the ids that a step has run, those
// that were not chosen are at the end of the sequence's cache: truncate it by forget_undecided() when a chosen token
// has no logits yet, and at the end.
class Speculation {
 public:
  // Ids from vocab_size on are never drafted.
  Speculation(Speculator& speculator, std::span<const int32_t> history, const GenerateRequest& request,
              int64_t vocab_size);

  // Logits after the last id of history, which is the history of the call before with one id appended, when that id was
  // drafted: the step that verified the draft has computed them. nullopt: it was not, and a step is needed.
  std::optional<std::span<const float>> logits_of_draft(std::span<const int32_t> history);
  // The ids of that step, each of which attends as a step of its own (Batch::Steps): the last of history, and at most
  // `most` - 1 drafts.
  std::span<const int32_t> ids_to_verify(std::span<const int32_t> history, int64_t most, const StepCost& cost);
  // What that step gave, (ids, vocab_size), which must stay valid until forget_undecided(). It throws nothing, since
  // the sequence has been extended and only forget_undecided() tells what is to be cut off again.
  void verified(MatView<const float> logits) noexcept;
  // How many ids of that step were not chosen.
  int64_t forget_undecided() noexcept;

 private:
  int64_t n_undecided() const noexcept { return std::ssize(ids_) - n_decided_; }
  void watch(std::span<const int32_t> history);

  Speculator& speculator_;
  int64_t vocab_size_;
  Speculator::Draft draft_;
  std::vector<int32_t> next_ids_;  // of the step under way
  std::vector<int32_t> ids_;       // of the last step: the chosen one and the drafts verified
  MatView<const float> logits_;    // after each of them
  int64_t n_decided_ = 0;          // of ids_, that were chosen
  int64_t n_before_draft_ = 0;     // ids of the history when the draft was made
};

}  // namespace fathom
