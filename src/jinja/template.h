// A bounded interpreter for the part of Jinja that chat templates are written in.
//
// It renders what transformers renders: jinja2 3.1 with an ImmutableSandboxedEnvironment, trim_blocks, lstrip_blocks,
// the loop controls, raise_exception and tojson without HTML escapes. Every template gives the same bytes as there, or
// an Error:
//   text, {{ }}, {# #}, {% raw %}, if / elif / else, for (filter, else, loop.*, tuple targets, break, continue), set
//   (also of namespace fields, tuples and blocks), filter, macro, generation (transparent); literals, lists, tuples,
//   dicts, attributes, items, slices, calls, + - * / // % ~, comparisons and their chains, in, and / or / not, x if y
//   else z; the filters, tests and methods listed in jinja_builtins.cpp and jinja_methods.cpp; namespace, dict, range,
//   raise_exception, strftime_now.
// Anything else is refused by name and line. Templates come from outside, so work, memory and recursion are bounded
// (Limits, kMaxSourceNesting, kMaxNesting), and the way from a template to the world is the time that the
// caller's clock tells; there is none to files or the process.
#pragma once
#include <ctime>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "jinja/builtins.h"

namespace fathom::jinja {

struct Program;

using Variable = std::pair<std::string, Value>;

// What strftime_now formats.
using Clock = std::function<std::tm()>;
std::tm local_time();  // now, in the time zone of this process

// Immutable after construction; threads may render at once.
class Template {
 public:
  // `where` names the template in messages, for example "tokenizer_config.json: chat_template".
  // Throws Error: bad_input for what jinja2 refuses too, unsupported for what is outside the subset, resource when too
  // large.
  Template(std::string_view source, std::string where, const Limits& limits = {});

  // The text, each byte with the origin that the variables' strings had; the template's own text is trusted.
  // Throws Error: bad_input for errors of the template (raise_exception included), unsupported, resource when a limit
  // is hit.
  Text render(std::span<const Variable> variables, const Clock& clock = local_time) const;

 private:
  std::string where_;
  Limits limits_;
  std::shared_ptr<const Program> program_;
};

}  // namespace fathom::jinja
