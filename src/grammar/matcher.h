// One text that is written under a grammar, token by token.
#pragma once
#include <cstdint>
#include <memory>
#include <string>

#include "grammar/grammar.h"
#include "grammar/mask.h"
#include "grammar/position.h"
#include "grammar/token_trie.h"

namespace fathom {

// Copies are independent (speculation; several answers to one prompt) and share what they have in common. One thread at
// a time uses a matcher; copies may be on other threads.
class Matcher {
 public:
  Matcher(std::shared_ptr<const Grammar> grammar, std::shared_ptr<const TokenTrie> vocabulary);

  // The ids that may come next; end ids exactly when the text may end here. Nothing after an end id. Found once for a
  // position of the grammar, whichever matcher is there, and kept while the grammar has room. Valid until the next call
  // of a function that is not const.
  const TokenMask& allowed();

  // Goes on by one token. False, with nothing changed, when it is not allowed. Does not need the mask.
  bool accept(int32_t id);

  bool can_end() const noexcept { return !ended_ && position_.may_end; }
  bool ended() const noexcept { return ended_; }  // an end id has been accepted

  // No token fits, not even an end: the vocabulary lacks bytes that the grammar asks for, or the grammar is too
  // ambiguous at this place (why_dead() says which). The request must end with an error. False when the text has ended.
  bool is_dead();
  std::string why_dead();

  // The bytes that must come next, up to the first choice (or the possible end) and at most kMaxForcedBytes; empty when
  // there is a choice at once. They end with a whole character.
  std::string forced() const;

 private:
  const grammar::MaskCache::Entry& entry();

  std::shared_ptr<const Grammar> grammar_;
  std::shared_ptr<const TokenTrie> vocabulary_;
  grammar::Position position_;
  bool ended_ = false;
  grammar::MaskCache::Entry entry_;  // of position_; its mask is null until asked for
};

}  // namespace fathom
