// What a request says about the form of its answer: response_format, and the fields that local servers have for
// regular expressions, choices and grammars.
#pragma once
#include <memory>
#include <optional>

#include "grammar/grammar.h"
#include "server/api/parameters.h"

namespace fathom::server {

std::span<const Parameter> constraint_parameters();

// nullptr: any text. ApiError that names the parameter when several are given, or one cannot be compiled: an answer
// without the constraint is never given.
std::shared_ptr<const Grammar> constraint_of(const Parameters& parameters);

// The grammar of a JSON schema; errors name `param`.
std::shared_ptr<const Grammar> schema_grammar(const json::value& schema, const std::string& param);

}  // namespace fathom::server
