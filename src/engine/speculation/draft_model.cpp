#include "engine/speculation/draft_model.h"

#include <algorithm>

namespace fathom {

void DraftModel::begin(std::span<const int32_t> history, const GenerateRequest& request) {
  sampling_ = request.sampling;
  n_usable_ids_ = request.n_usable_ids;
  n_prompt_ = std::ssize(history);
  n_agreed_ = n_checked_ = 0;
  is_usable_ = true;
  keep_what_agrees(history);
}

void DraftModel::keep_what_agrees(std::span<const int32_t> history) {
  const int64_t both = std::min(std::ssize(history), std::ssize(ids_));
  while (n_agreed_ < both && ids_[static_cast<size_t>(n_agreed_)] == history[static_cast<size_t>(n_agreed_)])
    ++n_agreed_;
  ids_.resize(static_cast<size_t>(n_agreed_));
  engine_.cache().truncate(sequence_, std::min(n_agreed_, sequence_.length()));
}

std::optional<int> DraftModel::kind(std::span<const int32_t> history) {
  for (; n_checked_ < std::ssize(history); ++n_checked_)
    if (history[static_cast<size_t>(n_checked_)] >= engine_.config().vocab_size) is_usable_ = false;
  const bool has_room = std::ssize(history) <= engine_.context_tokens();
  return is_usable_ && has_room ? std::optional(0) : std::nullopt;
}

std::vector<int32_t> DraftModel::propose(std::span<const int32_t> history, int64_t most) {
  keep_what_agrees(history);
  ids_.insert(ids_.end(), history.begin() + n_agreed_, history.end());
  n_agreed_ = std::ssize(history);
  if (sequence_.length() == n_agreed_)
    engine_.cache().truncate(sequence_, n_agreed_ - 1);  // for the logits of the last
  const size_t size = history.size(),
               end = size + static_cast<size_t>(std::min(most, engine_.context_tokens() - n_agreed_ + 1));
  try {
    while (ids_.size() < end) {
      const auto logits = engine_.append(sequence_, std::span(ids_).subspan(static_cast<size_t>(sequence_.length())));
      ids_.push_back(sample(logits, n_usable_ids_, ids_, std::ssize(ids_), sampling_, {}, n_prompt_));
    }
  } catch (const Error&) {
    is_usable_ = false;
  }
  return {ids_.begin() + static_cast<ptrdiff_t>(size), ids_.end()};
}

}  // namespace fathom
