// GBNF, the notation of llama.cpp's grammars: rules `name ::= ...`, alternatives, groups, "literals", [classes], `.`,
// repetitions * + ? {m} {m,} {m,n}, comments. Without its references to tokens (`<...>`).
#pragma once
#include <string_view>

#include "grammar/expression.h"

namespace fathom::grammar {

// The rule `root`. Refused with a bad_input Error that names line and column: what is no GBNF, rules that are not
// defined or defined twice, no `root`. Takes linear time and constant stack.
RuleId parse_gbnf(std::string_view text, Expressions& out);

}  // namespace fathom::grammar
