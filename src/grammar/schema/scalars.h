// Schemas of strings and of numbers.
#pragma once
#include <cstdint>

#include "grammar/json_text.h"
#include "grammar/schema/schema_parts.h"

namespace fathom::grammar {

// The count that a keyword gives, 0 to kMaxRepeat; refused otherwise.
int64_t count_at(const Place& place, const json::object& object, const char* key, int64_t otherwise);

// minLength, maxLength, pattern, format.
Expr string_schema(const Place& place, const json::object& object, JsonText& text);

// minimum, maximum, exclusiveMinimum, exclusiveMaximum, multipleOf; `whole` for integers.
Expr number_schema(const Place& place, const json::object& object, bool whole, JsonText& text, Expressions& out);

}  // namespace fathom::grammar
