// Speculative decoding: a step runs the chosen token and drafts of the ones after it. Where a draft is the token that
// is then chosen, its logits are there already, and no step is needed. Source: arXiv:2211.17192, arXiv:2302.01318.
//
// The result is that of plain decoding, bit for bit: rows of such a step have the bits of steps of one token
// (Engine::verify), tokens are chosen by the same call from the same logits, and a draft only decides whether
// logits are at hand. So it is for any temperature. Measured times decide how many drafts are verified, and thereby
// the speed alone.
#pragma once
#include <memory>
#include <vector>

#include "engine/engine.h"
#include "engine/request.h"
#include "engine/speculation/proposer.h"
#include "engine/speculation/speculation_cost.h"

namespace fathom {

struct SpeculationCounts {
  int64_t steps = 0;                   // of generation
  int64_t proposed = 0, accepted = 0;  // drafts verified; those that were right
  double tokens_per_step() const noexcept {
    return steps > 0 ? static_cast<double>(steps + accepted) / static_cast<double>(steps) : 0;
  }
  SpeculationCounts operator-(const SpeculationCounts& o) const noexcept {
    return {steps - o.steps, proposed - o.proposed, accepted - o.accepted};
  }
};

// What is learned of one model and machine; keeps it from one generation to the next. One thread.
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
  // Ids to verify are the first n; the rest is watched.
  struct Draft {
    std::vector<int32_t> ids;
    int64_t n = 0;
    Acceptance* acceptance = nullptr;
  };
  Draft draft(std::span<const int32_t> history, int64_t most);
  DraftLength count(Source& source, int kind, int64_t most) const;

  std::vector<Source> sources_;
  int64_t always_;
  StepTimes times_;
  SpeculationCounts counts_;
};

inline SpeculationCounts counts_of(const Speculator* s) noexcept {
  return s != nullptr ? s->counts() : SpeculationCounts{};
}

// One generation. The sequence always holds what plain decoding would have fed, and behind it drafts that are not
// decided yet; the destructor forgets these.
class Speculation {
 public:
  Speculation(Engine& engine, Speculator& speculator, SequenceCache& sequence, std::span<const int32_t> history,
              const GenerateRequest& request);
  ~Speculation();
  Speculation(const Speculation&) = delete;
  Speculation& operator=(const Speculation&) = delete;

  // Logits after the last id of history, which is the history of the call before with one id appended. n_wanted: tokens
  // that are still to be chosen, at least 1. Valid until the next call of the engine.
  std::span<const float> logits_after(std::span<const int32_t> history, int64_t n_wanted);

 private:
  void step(std::span<const int32_t> history, int64_t n_wanted);
  void forget_undecided();
  void watch(std::span<const int32_t> history);

  Engine& engine_;
  Speculator& speculator_;
  SequenceCache& sequence_;
  Speculator::Draft draft_;
  std::vector<int32_t> ids_;     // of the last step: the chosen one and the drafts verified
  MatView<const float> logits_;  // after each of them
  int64_t n_decided_ = 0;        // of ids_, that were chosen
  int64_t n_before_draft_ = 0;   // ids of the history when the draft was made
};

}  // namespace fathom
