#include "server/api/constraint.h"

#include <array>

#include "base/error.h"

namespace fathom::server {
namespace {

using Type = Parameter::Type;

constexpr std::array kParameters = {
    Parameter{"response_format", Type::object, 0, 0, "text, json_object or json_schema"},
    Parameter{"grammar", Type::text, 0, 0, "a grammar in GBNF"},
    Parameter{"json_schema", Type::object, 0, 0, "a JSON schema"},
    Parameter{"guided_json", Type::any, 0, 0, "another name of json_schema; a text is taken too"},
    Parameter{"guided_regex", Type::text, 0, 0, "a regular expression that the whole answer matches"},
    Parameter{"guided_choice", Type::array, 0, 0, "the texts of which the answer is one", kStringsForm},
    Parameter{"guided_grammar", Type::text, 0, 0, "another name of grammar"},
};

template <class Compile>
std::shared_ptr<const Grammar> compiled(const std::string& param, Compile&& compile) {
  try {
    return compile();
  } catch (const Error& e) {
    throw ApiError({.status = 400, .message = fmt::format("{}: {}", param, e.what()), .param = param});
  }
}

std::shared_ptr<const Grammar> format_grammar(const json::object& format) {
  only_keys(&format, "response_format", {"type", "json_schema", "schema"});
  const json::value* type = given(format, "type");
  if (type == nullptr || !type->is_string())
    refuse("response_format.type", "response_format has no type; it is text, json_object or json_schema");
  const std::string_view name = type->get_string();
  if (name == "text") return nullptr;
  if (name == "json_object") {
    const json::value* schema = given(format, "schema");  // llama.cpp's
    return schema == nullptr ? Grammar::json_object() : schema_grammar(*schema, "response_format.schema");
  }
  if (name != "json_schema")
    refuse("response_format.type", "response_format.type is {}; it is text, json_object or json_schema",
           quoted_for_message(name, 40));
  const json::value* wrapped = given(format, "json_schema");
  if (wrapped == nullptr || !wrapped->is_object())
    refuse("response_format.json_schema",
           "response_format.json_schema is missing; it is an object with name and schema");
  only_keys(&wrapped->get_object(), "response_format.json_schema", {"name", "description", "schema", "strict"});
  const json::value* schema = given(wrapped->get_object(), "schema");
  if (schema == nullptr) refuse("response_format.json_schema.schema", "response_format.json_schema has no schema");
  return schema_grammar(*schema, "response_format.json_schema.schema");
}

}  // namespace

std::span<const Parameter> constraint_parameters() { return kParameters; }

std::shared_ptr<const Grammar> schema_grammar(const json::value& schema, const std::string& param) {
  return compiled(param, [&] { return Grammar::from_json_schema(json::serialize(schema)); });
}

std::shared_ptr<const Grammar> constraint_of(const Parameters& p) {
  std::string name;
  for (const Parameter& known : kParameters) {
    if (!p.has(known.name)) continue;
    if (!name.empty()) refuse(std::string(known.name), "{} and {} are given; one of them can hold", name, known.name);
    name = known.name;
  }
  if (name.empty()) return nullptr;
  if (name == "response_format") return format_grammar(*p.object(name));
  if (name == "json_schema") return schema_grammar(*p.find(name), name);
  if (name == "guided_json") {
    const json::value& v = *p.find(name);
    if (!v.is_string()) return schema_grammar(v, name);
    return compiled(name, [&] { return Grammar::from_json_schema(std::string_view(v.get_string())); });
  }
  if (name == "guided_choice")
    return compiled(name, [&] { return Grammar::from_choices(p.texts("guided_choice", 10000)); });
  const std::string text = *p.text(name);
  return compiled(name, [&] { return name == "guided_regex" ? Grammar::from_regex(text) : Grammar::from_gbnf(text); });
}

}  // namespace fathom::server
