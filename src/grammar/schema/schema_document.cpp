#include <algorithm>
#include <array>

#include "base/json/json_number.h"
#include "grammar/schema/schema_parts.h"

namespace fathom::grammar {
namespace {

constexpr std::array<std::string_view, 16> kAnnotations = {
    "$comment", "$defs",       "$id",        "$schema",     "contentEncoding", "contentMediaType",
    "default",  "definitions", "deprecated", "description", "discriminator",   "example",
    "examples", "readOnly",    "title",      "writeOnly"};
constexpr std::array<std::string_view, 26> kConstraints = {"$ref",
                                                           "additionalProperties",
                                                           "allOf",
                                                           "anyOf",
                                                           "const",
                                                           "enum",
                                                           "exclusiveMaximum",
                                                           "exclusiveMinimum",
                                                           "format",
                                                           "items",
                                                           "maxItems",
                                                           "maxLength",
                                                           "maxProperties",
                                                           "maximum",
                                                           "minItems",
                                                           "minLength",
                                                           "minProperties",
                                                           "minimum",
                                                           "multipleOf",
                                                           "oneOf",
                                                           "pattern",
                                                           "prefixItems",
                                                           "properties",
                                                           "required",
                                                           "type",
                                                           "uniqueItems"};

template <size_t N>
bool is_in(const std::array<std::string_view, N>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// ~1 and ~0 of JSON pointers, %XX of fragments.
std::string unescaped_step(std::string_view step) {
  std::string bytes;
  for (size_t i = 0; i < step.size(); ++i) {
    auto hex = [&](size_t at) {
      return at < step.size() ? std::string_view("0123456789abcdef").find(static_cast<char>(step[at] | 0x20))
                              : std::string_view::npos;
    };
    if (step[i] == '%' && hex(i + 1) < 16 && hex(i + 2) < 16) {
      bytes += static_cast<char>(hex(i + 1) * 16 + hex(i + 2));
      i += 2;
    } else {
      bytes += step[i];
    }
  }
  std::string out;
  for (size_t i = 0; i < bytes.size(); ++i) {
    const bool escape = bytes[i] == '~' && i + 1 < bytes.size() && (bytes[i + 1] == '0' || bytes[i + 1] == '1');
    out += escape ? (bytes[++i] == '0' ? '~' : '/') : bytes[i];
  }
  return out;
}

const json::value* member_of(const json::value& parent, const std::string& step) {
  if (const json::object* object = parent.if_object()) return object->if_contains(step);
  const json::array* array = parent.if_array();
  if (array == nullptr || step.empty() || step.size() > 9 || step.find_first_not_of("0123456789") != std::string::npos)
    return nullptr;
  const auto index = static_cast<size_t>(std::stoul(step));
  return index < array->size() ? &(*array)[index] : nullptr;
}

}  // namespace

Place Place::at(std::string_view step) const {
  std::string out = pointer + "/";
  for (const char c : step) out += c == '~' ? "~0" : c == '/' ? "~1" : std::string(1, c);
  return {std::move(out)};
}

bool is_annotation(std::string_view keyword) { return is_in(kAnnotations, keyword); }
bool is_known(std::string_view keyword) { return is_annotation(keyword) || is_in(kConstraints, keyword); }

bool constrains_beyond(const json::object& schema, std::string_view but) {
  return std::any_of(schema.begin(), schema.end(), [&](const auto& member) {
    const std::string_view key = member.key();
    return key != but && !is_annotation(key);
  });
}

json::object without(const json::object& schema, std::string_view keyword) {
  json::object out;
  for (const auto& member : schema)
    if (const std::string_view key = member.key(); key != keyword && !is_annotation(key))
      out.emplace(key, member.value());
  return out;
}

unsigned types_of(const json::value& keyword, const Place& place) {
  if (const json::array* list = keyword.if_array()) {
    unsigned all = 0;
    for (size_t i = 0; i < list->size(); ++i) {
      if (!(*list)[i].is_string())
        refuse(place, "'type' holds {}; a list of types holds their names", json_kind_name((*list)[i]));
      all |= types_of((*list)[i], place);
    }
    if (all == 0) refuse(place, "'type' is an empty list");
    return all;
  }
  const json::string* name = keyword.if_string();
  if (name == nullptr) refuse(place, "'type' is {}; it must be a name or a list of names", json_kind_name(keyword));
  if (*name == "null") return kNull;
  if (*name == "boolean") return kBoolean;
  if (*name == "object") return kObject;
  if (*name == "array") return kArray;
  if (*name == "string") return kString;
  if (*name == "number") return kNumber;
  if (*name == "integer") return kInteger;
  refuse(place, "type {} is none of null, boolean, object, array, string, number, integer", quoted_for_message(*name));
}

unsigned type_of_value(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return kNull;
    case json::kind::bool_:
      return kBoolean;
    case json::kind::object:
      return kObject;
    case json::kind::array:
      return kArray;
    case json::kind::string:
      return kString;
    default:
      return value.is_double() && !json_integer(value) ? kFraction : kInteger;
  }
}

SchemaDocument::SchemaDocument(std::string_view text)
    : root_(parse_json(text, "JSON schema", {.max_depth = kMaxSchemaDepth})) {}

void SchemaDocument::step(const Place& place, int64_t n) {
  steps_ += n;
  if (steps_ > kMaxSchemaSteps)
    refuse(place, "following allOf, anyOf and $ref makes more than {} schemas, the limit; write a simpler one",
           kMaxSchemaSteps);
}

Located SchemaDocument::resolve(const json::value& reference, const Place& place) const {
  const json::string* text = reference.if_string();
  if (text == nullptr) refuse(place, "'$ref' is {}; it must be a string", json_kind_name(reference));
  std::string_view rest = *text;
  if (rest.substr(0, 1) != "#" || (rest.size() > 1 && rest[1] != '/'))
    refuse(place, "'$ref' {} is not in this document; references are '#' or '#/$defs/NAME'", quoted_for_message(*text));
  rest.remove_prefix(1);
  Located out{&root_, {}};
  while (!rest.empty()) {
    rest.remove_prefix(1);
    const std::string_view step = rest.substr(0, rest.find('/'));
    rest.remove_prefix(step.size());
    out.schema = member_of(*out.schema, unescaped_step(step));
    if (out.schema == nullptr) refuse(place, "'$ref' {} names nothing that is there", quoted_for_message(*text));
    out.place = out.place.at(unescaped_step(step));
  }
  return out;
}

}  // namespace fathom::grammar
