#include "train/toml_text.h"

#include <toml++/toml.h>

#include <cmath>

#include "base/error.h"

namespace fathom {
namespace {

// key: of the value, for messages.
json::value to_json_value(const toml::node& node, std::string_view key, const std::string& where) {
  if (const auto* table = node.as_table()) {
    json::object out;
    for (const auto& [name, value] : *table)
      out[std::string_view(name.str())] = to_json_value(value, name.str(), where);
    return out;
  }
  if (const auto* array = node.as_array()) {
    json::array out;
    for (const toml::node& value : *array) out.push_back(to_json_value(value, key, where));
    return out;
  }
  if (const auto* s = node.as_string()) return json::value(std::string_view(s->get()));
  if (const auto* i = node.as_integer()) return json::value(i->get());
  if (const auto* d = node.as_floating_point()) {
    if (!std::isfinite(d->get()))
      throw_bad_input("{}: line {}: {} is {}; a finite number is needed", where, node.source().begin.line, key,
                      d->get());
    return json::value(d->get());
  }
  if (const auto* b = node.as_boolean()) return json::value(b->get());
  throw_bad_input("{}: line {}: dates and times have no meaning in a training config", where, node.source().begin.line);
}

}  // namespace

json::object toml_to_json(std::string_view text, const std::string& where) {
  try {
    return to_json_value(toml::parse(text, where), "", where).as_object();
  } catch (const toml::parse_error& e) {
    throw_bad_input("{}: line {}, column {}: {}", where, e.source().begin.line, e.source().begin.column,
                    e.description());
  }
}

// JSON's escapes are among TOML's.
std::string toml_quoted(std::string_view text) { return json::serialize(json::string(text)); }

}  // namespace fathom
