// Regular expressions: the part of JavaScript's and RE2's syntax that a finite automaton can do, over characters of
// Unicode (docs/constrained.md lists it). Takes linear time whatever the expression.
#pragma once
#include <string>
#include <string_view>

#include "grammar/char_automaton.h"

namespace fathom::grammar {

// Refused with a bad_input Error that names `where` and the place: what is no regular expression, back-references,
// look-around, word boundaries and flags by their names, and what exceeds limits.h. ^ and $ are kept: use whole() or
// containing().
CharAutomaton parse_regex(std::string_view pattern, std::string where);

}  // namespace fathom::grammar
