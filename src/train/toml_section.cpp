#include "train/toml_section.h"

#include <toml++/toml.h>

#include "base/error.h"
#include "base/suggest.h"

namespace fathom {
namespace {

json::value to_json_value(const toml::node& node, const std::string& where) {
  if (const auto* table = node.as_table()) {
    json::object out;
    for (const auto& [key, value] : *table) out[std::string_view(key.str())] = to_json_value(value, where);
    return out;
  }
  if (const auto* array = node.as_array()) {
    json::array out;
    for (const toml::node& value : *array) out.push_back(to_json_value(value, where));
    return out;
  }
  if (const auto* s = node.as_string()) return json::value(std::string_view(s->get()));
  if (const auto* i = node.as_integer()) return json::value(i->get());
  if (const auto* d = node.as_floating_point()) return json::value(d->get());
  if (const auto* b = node.as_boolean()) return json::value(b->get());
  throw_bad_input("{}: line {}: dates and times have no meaning in a training config", where, node.source().begin.line);
}

}  // namespace

json::object toml_to_json(std::string_view text, const std::string& where) {
  try {
    return to_json_value(toml::parse(text, where), where).as_object();
  } catch (const toml::parse_error& e) {
    throw_bad_input("{}: line {}, column {}: {}", where, e.source().begin.line, e.source().begin.column,
                    e.description());
  }
}

const json::value* TomlSection::find(const char* key) {
  asked_.insert(key);
  return table_.if_contains(key);
}

void TomlSection::missing(const char* key) const { throw_bad_input("{}: the key {} is missing", where_, key); }

void TomlSection::fail(const char* key, const std::string& found, const std::string& needed) const {
  throw_bad_input("{}: {} is {}; it must be {}", where_, key, found, needed);
}

double TomlSection::number(const char* key, std::optional<double> fallback) {
  const json::value* v = find(key);
  if (v == nullptr) {
    if (!fallback) missing(key);
    return *fallback;
  }
  if (v->is_int64()) return static_cast<double>(v->get_int64());
  if (!v->is_double()) fail(key, json_kind_name(*v), "a number");
  return v->get_double();
}

int64_t TomlSection::integer(const char* key, std::optional<int64_t> fallback) {
  const json::value* v = find(key);
  if (v == nullptr) {
    if (!fallback) missing(key);
    return *fallback;
  }
  if (!v->is_int64()) fail(key, json_kind_name(*v), "a whole number");
  return v->get_int64();
}

std::string TomlSection::text(const char* key, std::optional<std::string> fallback) {
  const json::value* v = find(key);
  if (v == nullptr) {
    if (!fallback) missing(key);
    return *fallback;
  }
  if (!v->is_string()) fail(key, json_kind_name(*v), "a string");
  return std::string(v->get_string());
}

std::vector<double> TomlSection::numbers(const char* key, std::vector<double> fallback) {
  const json::value* v = find(key);
  if (v == nullptr) return fallback;
  const json::array* array = v->if_array();
  if (array == nullptr) fail(key, json_kind_name(*v), "a list of numbers");
  std::vector<double> out;
  for (const json::value& element : *array) {
    if (!element.is_number()) fail(key, std::string("a list with ") + json_kind_name(element), "a list of numbers");
    out.push_back(element.to_number<double>());
  }
  return out;
}

size_t TomlSection::choice(const char* key, const std::vector<std::string>& choices, size_t fallback) {
  const std::string value = text(key, choices[fallback]);
  for (size_t i = 0; i < choices.size(); ++i)
    if (choices[i] == value) return i;
  fail(key, quoted_for_message(value), fmt::format("one of: {}", fmt::join(choices, ", ")));
}

void TomlSection::finish() const {
  for (const auto& [key, value] : table_)
    if (asked_.count(std::string(key)) == 0)
      throw_bad_input("{}: the key {} is not known; known keys are: {}.{}", where_, quoted_for_message(key),
                      fmt::join(asked_, ", "),
                      did_you_mean(std::string_view(key), std::vector(asked_.begin(), asked_.end())));
}

}  // namespace fathom
