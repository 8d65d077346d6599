#include "server/choice_text.h"

namespace fathom::server {

ChoiceText::ChoiceText(const Tokenizer& tokenizer, std::vector<std::string> stops, std::string gap)
    : decoder_(tokenizer), stops_(std::move(stops)), gap_(std::move(gap)), before_gap_(!gap_.empty()) {}

TextDelta ChoiceText::push(const TokenScore& token) {
  ++n_tokens_;
  const std::string text = decoder_.push(token.id);
  n_decoded_ += text.size();
  waiting_.emplace_back(n_decoded_, token);
  return release(stops_.push(text), false);
}

TextDelta ChoiceText::finish() {
  if (stops_.stopped()) return release({}, false);
  std::string rest = stops_.push(decoder_.flush());
  if (!stops_.stopped()) rest += stops_.flush();
  return release(std::move(rest), !stops_.stopped());
}

TextDelta ChoiceText::release(std::string text, bool all) {
  n_released_ += text.size();
  if (before_gap_) {
    held_ += text;
    text.clear();
    if (all || held_.size() >= gap_.size() || !gap_.starts_with(held_)) {
      before_gap_ = false;
      text = held_.starts_with(gap_) ? held_.substr(gap_.size()) : held_;
    }
  }
  TextDelta delta{.text = std::move(text), .tokens = {}};
  size_t n = 0;
  while (n < waiting_.size() && (all || (waiting_[n].first <= n_released_ && !before_gap_))) ++n;
  for (size_t i = 0; i < n; ++i) delta.tokens.push_back(std::move(waiting_[i].second));
  waiting_.erase(waiting_.begin(), waiting_.begin() + static_cast<ptrdiff_t>(n));
  return delta;
}

}  // namespace fathom::server
