#include "engine/speculation/speculator.h"

#include <algorithm>

#include "kernels/peak.h"

namespace fathom {
Speculator::Speculator(std::vector<std::unique_ptr<Proposer>> proposers, int64_t always) : always_(always) {
  check(always >= 0 && always <= kMaxDraft, "at most kMaxDraft are verified");
  for (auto& proposer : proposers) {
    const auto n_kinds = static_cast<size_t>(proposer->n_kinds());
    sources_.push_back({std::move(proposer), std::vector<Acceptance>(n_kinds), {}});
  }
}

DraftLength Speculator::count(Source& source, int kind, int64_t most, const StepCost& cost) const {
  if (always_ > 0) return {.n = std::min(always_, most), .tokens_per_second = 1};
  const double per_draft = source.seconds_per_draft.median(cost.times.n_steps(), 2).value_or(0);
  return best_count(cost.times, source.by_kind[static_cast<size_t>(kind)], per_draft, most, cost.rows_beside);
}

Speculator::Draft Speculator::draft(std::span<const int32_t> history, int64_t most, const StepCost& cost) {
  Source* chosen = nullptr;
  Draft draft;
  DraftLength best;
  for (Source& source : sources_) {
    const std::optional<int> kind = source.proposer->kind(history);
    if (!kind) continue;
    Acceptance& acceptance = source.by_kind[static_cast<size_t>(*kind)];
    const DraftLength c = count(source, *kind, most, cost);
    const bool is_better = c.n > 0 && (best.n == 0 || c.tokens_per_second > best.tokens_per_second);
    const bool is_watched = best.n == 0 && source.proposer->is_free();
    if (!is_better && !is_watched) {
      acceptance.record(0, false);
      continue;
    }
    if (draft.acceptance != nullptr) draft.acceptance->record(0, false);
    draft.acceptance = &acceptance;
    chosen = &source;
    best = c;
  }
  if (chosen == nullptr) return draft;
  const double start = clock_seconds();
  draft.ids = chosen->proposer->propose(history, chosen->proposer->is_free() ? kMaxDraft : best.n);
  draft.n = std::min(best.n, std::ssize(draft.ids));
  if (!chosen->proposer->is_free() && !draft.ids.empty())
    chosen->seconds_per_draft.record((clock_seconds() - start) / static_cast<double>(draft.ids.size()),
                                     cost.times.n_steps());
  return draft;
}

Speculation::Speculation(Speculator& speculator, std::span<const int32_t> history, const GenerateRequest& request,
                         int64_t vocab_size)
    : speculator_(speculator), vocab_size_(vocab_size) {
  for (Speculator::Source& source : speculator.sources_) source.proposer->begin(history, request);
}

std::optional<std::span<const float>> Speculation::logits_of_draft(std::span<const int32_t> history) {
  if (n_undecided() == 0 || ids_[static_cast<size_t>(n_decided_)] != history.back()) return std::nullopt;
  ++speculator_.counts_.accepted;
  const VecView<const float> row = logits_.vec(n_decided_++);
  return std::span(row.data, static_cast<size_t>(row.size));
}

// What was chosen after the draft was made says how far it was right: one token more than was verified.
void Speculation::watch(std::span<const int32_t> history) {
  if (draft_.acceptance == nullptr) return;
  const auto chosen = history.subspan(static_cast<size_t>(n_before_draft_));
  const auto n = std::min(chosen.size(), draft_.ids.size());
  const auto right = std::mismatch(chosen.begin(), chosen.begin() + static_cast<ptrdiff_t>(n), draft_.ids.begin());
  const auto n_accepted = right.first - chosen.begin();
  draft_.acceptance->record(n_accepted, n_accepted < static_cast<ptrdiff_t>(n));
}

std::span<const int32_t> Speculation::ids_to_verify(std::span<const int32_t> history, int64_t most,
                                                    const StepCost& cost) {
  check(n_undecided() == 0, "what was not decided is forgotten");
  watch(history);
  draft_ = speculator_.draft(history, std::clamp<int64_t>(most - 1, 0, kMaxDraft), cost);
  n_before_draft_ = std::ssize(history);
  next_ids_.assign(1, history.back());
  for (int64_t i = 0; i < draft_.n; ++i) {
    const int32_t id = draft_.ids[static_cast<size_t>(i)];
    if (id < 0 || id >= vocab_size_) break;
    next_ids_.push_back(id);
  }
  return next_ids_;
}

void Speculation::verified(MatView<const float> logits) noexcept {
  ids_.swap(next_ids_);
  logits_ = logits;
  n_decided_ = 1;  // the first is the token that was chosen
  speculator_.counts_.proposed += std::ssize(ids_) - 1;
  ++speculator_.counts_.steps;
}

int64_t Speculation::forget_undecided() noexcept {
  const int64_t n = n_undecided();
  ids_.clear();
  n_decided_ = 0;
  return n;
}

}  // namespace fathom
