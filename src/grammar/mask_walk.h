// Finds the tokens that are allowed at a position.
#pragma once
#include "grammar/mask.h"
#include "grammar/position.h"
#include "grammar/token_trie.h"

namespace fathom::grammar {

// Walks the trie of the vocabulary with the positions that its bytes lead to, each edge of the trie once; positions
// that are equal are made once, with a table of where each byte leads. What no text can begin with is skipped whole.
// Gives up beyond kMaxMaskWork (limits.h): then no token is allowed and too_costly is set.
MaskCache::Entry find_mask(const Network& network, const TokenTrie& trie, const Position& position);

}  // namespace fathom::grammar
