// JSON schemas (draft 2020-12, and what older drafts spell alike) as rules. docs/constrained.md says keyword by keyword
// what is supported.
#pragma once
#include <string_view>

#include "grammar/expression.h"

namespace fathom::grammar {

// The rule of the whole schema. Every text of it is accepted by the schema; of the texts that a schema accepts, some
// are left out (other white space, other orders of properties, properties that the schema does not name).
//
// Refused with a bad_input Error that names the keyword and its JSON pointer: text that is no JSON, keywords that are
// not supported, schemas that nothing satisfies, and what exceeds limits.h.
RuleId parse_schema(std::string_view text, Expressions& out);

}  // namespace fathom::grammar
