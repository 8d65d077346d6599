#include "grammar/matcher.h"

#include "base/text/utf8.h"
#include "grammar/compiled.h"
#include "grammar/mask_walk.h"

namespace fathom {
namespace {

using grammar::Position;
using grammar::Stepper;

// The one byte that can come next; -1 when there are several, or none.
int only_byte(const grammar::Network& network, const Position& position) {
  int only = -1;
  for (const grammar::Thread& t : position.threads) {
    for (const grammar::ByteEdge& e : network.bytes(t.state)) {
      if (e.first != e.last || (only >= 0 && only != e.first)) return -1;
      only = e.first;
    }
  }
  return only;
}

}  // namespace

Matcher::Matcher(std::shared_ptr<const Grammar> grammar, std::shared_ptr<const TokenTrie> vocabulary)
    : grammar_(std::move(grammar)), vocabulary_(std::move(vocabulary)) {
  Stepper stepper(grammar_->compiled().network);
  stepper.set_budget(grammar::kMaxMaskWork);
  position_ = stepper.start();
  if (stepper.exhausted()) entry_ = {std::make_shared<const TokenMask>(vocabulary_->n_ids()), true};
}

const grammar::MaskCache::Entry& Matcher::entry() {
  if (entry_.mask != nullptr) return entry_;
  if (ended_) {
    entry_ = {std::make_shared<const TokenMask>(vocabulary_->n_ids()), false};
    return entry_;
  }
  grammar::MaskCache& masks = grammar_->compiled().masks;
  const grammar::MaskCache::Key key{position_.digest, vocabulary_->serial()};
  entry_ = masks.find(key);
  if (entry_.mask == nullptr) {
    entry_ = grammar::find_mask(grammar_->compiled().network, *vocabulary_, position_);
    masks.add(key, entry_);
  }
  return entry_;
}

const TokenMask& Matcher::allowed() { return *entry().mask; }

bool Matcher::accept(int32_t id) {
  if (ended_ || (entry_.mask != nullptr && !entry_.mask->allows(id))) return false;
  if (vocabulary_->is_end(id)) {
    if (!position_.may_end) return false;
    ended_ = true;
    entry_ = {};
    return true;
  }
  const std::string_view bytes = vocabulary_->bytes(id);
  if (bytes.empty()) return false;
  Stepper stepper(grammar_->compiled().network);
  stepper.set_budget(grammar::kMaxMaskWork);
  Position next = position_;
  for (const char byte : bytes) {
    next = stepper.step(next, static_cast<uint8_t>(byte));
    if (next.threads.empty() && !next.may_end) return false;
  }
  position_ = std::move(next);
  entry_ = {};
  return true;
}

bool Matcher::is_dead() { return !ended_ && allowed().count == 0; }

std::string Matcher::why_dead() {
  if (!is_dead()) return {};
  return entry_.too_costly ? "the grammar is too ambiguous at this place of the text: finding the allowed tokens would "
                             "take too long; simplify the grammar"
                           : "no token of the vocabulary fits the grammar at this place of the text";
}

std::string Matcher::forced() const {
  std::string out;
  if (ended_) return out;
  Stepper stepper(grammar_->compiled().network);
  stepper.set_budget(grammar::kMaxMaskWork);
  Position at = position_;
  while (out.size() < grammar::kMaxForcedBytes && !at.may_end) {
    const int byte = only_byte(grammar_->compiled().network, at);
    if (byte < 0) break;
    out += static_cast<char>(byte);
    at = stepper.step(at, static_cast<uint8_t>(byte));
  }
  out.resize(out.size() - unfinished_utf8_tail(out));
  return out;
}

}  // namespace fathom
