// Template source -> tree. The grammar is jinja2's, cut down to what chat templates use; what is left out is refused by
// name.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "jinja/ast.h"

namespace fathom::jinja {

constexpr int kMaxSourceNesting = 64;  // blocks and brackets within each other
constexpr int kMaxExprDepth = 200;     // also counts chains: a + b + c is two deep

// Throws Error "WHERE line N: ...": bad_input for what jinja2 refuses too, unsupported for what only fathom refuses.
std::shared_ptr<const Program> parse_template(std::string_view source, const std::string& where);

}  // namespace fathom::jinja
