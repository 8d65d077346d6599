// allOf, and keywords beside $ref or anyOf: one schema of several. Proofs that branches of oneOf exclude each other.
#include <algorithm>

#include "base/json/json_number.h"
#include "grammar/schema/schema_parts.h"

namespace fathom::grammar {
namespace {

constexpr int kMaxReferences = 32;  // one leading to another
constexpr int kMaxProofDepth = 4;

const json::object* object_at(const json::object& schema, std::string_view key) {
  const json::value* found = schema.if_contains(key);
  return found != nullptr ? found->if_object() : nullptr;
}

bool takes_more(std::string_view key) {
  return key == "minimum" || key == "exclusiveMinimum" || key == "minLength" || key == "minItems" ||
         key == "minProperties";
}
bool takes_less(std::string_view key) {
  return key == "maximum" || key == "exclusiveMaximum" || key == "maxLength" || key == "maxItems" ||
         key == "maxProperties";
}

double number_of(const json::value& value) { return value.is_number() ? value.to_number<double>() : 0; }

json::array common(const json::array& a, const json::array& b) {
  json::array out;
  for (const json::value& v : a)
    if (std::find(b.begin(), b.end(), v) != b.end()) out.push_back(v);
  return out;
}

json::array type_names(unsigned types) {
  json::array out;
  if (types & kNull) out.emplace_back("null");
  if (types & kBoolean) out.emplace_back("boolean");
  if (types & kObject) out.emplace_back("object");
  if (types & kArray) out.emplace_back("array");
  if (types & kString) out.emplace_back("string");
  if (types & kFraction)
    out.emplace_back("number");
  else if (types & kInteger)
    out.emplace_back("integer");
  return out;
}

bool has_value(const std::vector<const json::value*>& values, const json::value& value) {
  return std::any_of(values.begin(), values.end(), [&](const json::value* v) { return *v == value; });
}

}  // namespace

// Without $ref and allOf at its top.
json::object SchemaDocument::flat(const Located& part, int depth) {
  step(part.place);
  if (depth > kMaxReferences)
    refuse(part.place, "more than {} references and 'allOf' lead from one to another; do they form a circle?",
           kMaxReferences);
  const json::object* object = part.schema->if_object();
  if (object == nullptr) {
    if (part.schema->is_bool() && part.schema->get_bool()) return {};
    refuse(part.place, "'allOf' joins objects and true; found {}",
           part.schema->is_bool() ? "false, which nothing satisfies" : json_kind_name(*part.schema));
  }
  json::object out;
  for (const auto& member : *object) {
    const std::string_view key = member.key();
    if (!is_known(key)) refuse(part.place, "keyword {} is not supported", quoted_for_message(key));
    if (key != "$ref" && key != "allOf" && !is_annotation(key)) out.emplace(key, member.value());
  }
  step(part.place, static_cast<int64_t>(object->size()));
  if (const json::value* reference = object->if_contains("$ref"))
    merge(out, flat(resolve(*reference, part.place), depth + 1), part.place);
  if (const json::value* all = object->if_contains("allOf")) {
    if (!all->is_array() || all->get_array().empty())
      refuse(part.place, "'allOf' must be a list of at least one schema");
    for (size_t i = 0; i < all->get_array().size(); ++i)
      merge(out, flat({&all->get_array()[i], part.place.at("allOf").at(i)}, depth + 1), part.place);
  }
  return out;
}

Located SchemaDocument::all_of(const std::vector<Located>& parts, const Place& place) {
  json::object merged;
  for (const Located& part : parts) merge(merged, flat(part, 0), place);
  made_.emplace_back(std::move(merged));
  return {&made_.back(), place};
}

void SchemaDocument::merge(json::object& into, const json::object& from, const Place& place) {
  merge_properties(into, from, place);
  for (const auto& member : from) {
    const std::string_view key = member.key();
    step(place);
    if (key != "properties" && key != "additionalProperties") merge_keyword(into, key, member.value(), place);
  }
}

// A property that one side has and the other does not is subject to additionalProperties of the other.
void SchemaDocument::merge_properties(json::object& into, const json::object& from, const Place& place) {
  auto closed_against = [&](const json::object& side, const json::object& other) {
    const json::value* more = side.if_contains("additionalProperties");
    if (more == nullptr || (more->is_bool() && more->get_bool())) return;
    const json::object *mine = object_at(side, "properties"), *theirs = object_at(other, "properties");
    const json::value* same = other.if_contains("additionalProperties");
    if (same != nullptr && *same != *more)
      refuse(place, "'additionalProperties' differs between schemas that must all hold; this is not supported");
    if (theirs == nullptr) return;
    for (const auto& member : *theirs)
      if (mine == nullptr || mine->if_contains(member.key()) == nullptr)
        refuse(place,
               "property {} is in one of the schemas that must all hold, and 'additionalProperties' in another; put "
               "all properties in one schema",
               quoted_for_message(member.key()));
  };
  closed_against(into, from);
  closed_against(from, into);
  if (const json::value* more = from.if_contains("additionalProperties");
      more != nullptr && (into.if_contains("additionalProperties") == nullptr || !more->is_bool() || !more->get_bool()))
    into["additionalProperties"] = *more;
  const json::value* properties = from.if_contains("properties");
  if (properties == nullptr) return;
  const json::object* theirs = properties->if_object();
  json::value& mine = into["properties"];
  if (mine.is_null()) mine = json::object();
  if (theirs == nullptr || !mine.is_object()) refuse(place, "'properties' must be an object");
  for (const auto& member : *theirs) {
    step(place);
    json::value& known = mine.get_object()[member.key()];
    known = known.is_null() ? member.value() : json::value{{"allOf", json::array{known, member.value()}}};
  }
}

void SchemaDocument::merge_keyword(json::object& into, std::string_view key, const json::value& value,
                                   const Place& place) {
  json::value* known = into.if_contains(key);
  if (known == nullptr) {
    into.emplace(key, value);
  } else if (*known == value) {
    return;
  } else if (key == "type") {
    const unsigned both = types_of(*known, place) & types_of(value, place);
    if (both == 0) refuse(place, "no type satisfies every one of the schemas that must all hold");
    *known = type_names(both);
  } else if (key == "required" && known->is_array() && value.is_array()) {
    for (const json::value& name : value.get_array()) known->get_array().push_back(name);
  } else if (key == "enum" && known->is_array() && value.is_array()) {
    *known = common(known->get_array(), value.get_array());
  } else if (takes_more(key) || takes_less(key)) {
    if ((number_of(value) > number_of(*known)) == takes_more(key)) *known = value;
  } else {
    refuse(place, "keyword {} has two values in schemas that must all hold; this is not supported",
           quoted_for_message(key));
  }
}

SchemaDocument::Facts SchemaDocument::facts_of(Located schema) {
  Facts out;
  for (int hop = 0; hop < kMaxReferences; ++hop) {
    step(schema.place);
    out.object = schema.schema->if_object();
    out.place = schema.place;
    const json::value* reference = out.object != nullptr ? out.object->if_contains("$ref") : nullptr;
    if (reference == nullptr || constrains_beyond(*out.object, "$ref")) break;
    schema = resolve(*reference, schema.place);
  }
  if (out.object == nullptr) return out;
  if (const json::value* type = out.object->if_contains("type")) out.types = types_of(*type, out.place);
  if (const json::value* only = out.object->if_contains("const")) {
    out.values.emplace(1, only);
  } else if (const json::value* list = out.object->if_contains("enum"); list != nullptr && list->is_array()) {
    out.values.emplace();
    for (const json::value& v : list->get_array()) out.values->push_back(&v);
  }
  if (!out.values) return out;
  unsigned kinds = 0;
  for (const json::value* v : *out.values) kinds |= type_of_value(*v);
  out.types &= kinds;
  step(out.place, static_cast<int64_t>(out.values->size()));
  return out;
}

bool SchemaDocument::disjoint(const Located& a, const Located& b) { return disjoint(a, b, 0); }

bool SchemaDocument::disjoint(const Located& a, const Located& b, int depth) {
  if (depth > kMaxProofDepth) return false;
  const Facts x = facts_of(a), y = facts_of(b);
  if ((x.types & y.types) == 0) return true;
  if (x.values && y.values) {
    step(a.place, static_cast<int64_t>(x.values->size() * y.values->size() / 16));
    return std::none_of(x.values->begin(), x.values->end(),
                        [&](const json::value* v) { return has_value(*y.values, *v); });
  }
  return (x.types & y.types) == kObject && (disjoint_by_property(x, y, depth) || disjoint_by_property(y, x, depth));
}

// A property that `a` requires, and of which nothing satisfies both.
bool SchemaDocument::disjoint_by_property(const Facts& a, const Facts& b, int depth) {
  if (a.object == nullptr || b.object == nullptr) return false;
  const json::value* required = a.object->if_contains("required");
  const json::object *mine = object_at(*a.object, "properties"), *theirs = object_at(*b.object, "properties");
  if (required == nullptr || !required->is_array() || mine == nullptr || theirs == nullptr) return false;
  for (const json::value& name : required->get_array()) {
    if (!name.is_string()) continue;
    const json::value *p = mine->if_contains(name.get_string()), *q = theirs->if_contains(name.get_string());
    if (p == nullptr || q == nullptr) continue;
    if (disjoint({p, a.place.at("properties").at(name.get_string())},
                 {q, b.place.at("properties").at(name.get_string())}, depth + 1))
      return true;
  }
  return false;
}

}  // namespace fathom::grammar
