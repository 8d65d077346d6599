#include "grammar/schema/schema.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/json/json_number.h"
#include "grammar/json_text.h"
#include "grammar/schema/scalars.h"
#include "grammar/schema/schema_parts.h"

namespace fathom::grammar {
namespace {

constexpr int kMaxDepth = 2 * static_cast<int>(kMaxSchemaDepth);  // allOf can make schemas deeper than their text

class SchemaCompiler {
 public:
  SchemaCompiler(std::string_view text, Expressions& out) : document_(text), out_(out), json_(out) {}

  RuleId run() {
    const RuleId root = rule_at({&document_.root(), {}});
    while (!waiting_.empty()) {
      const auto [rule, schema] = waiting_.back();
      waiting_.pop_back();
      out_.define(rule, compile(schema, 0));
    }
    return root;
  }

 private:
  // The rule of a schema that is referred to; it is compiled when its turn comes.
  RuleId rule_at(const Located& schema) {
    const auto known = rule_of_.find(schema.schema);
    if (known != rule_of_.end()) return known->second;
    const RuleId rule = out_.add_rule(schema.place.pointer);
    rule_of_.emplace(schema.schema, rule);
    waiting_.emplace_back(rule, schema);
    return rule;
  }

  // Recurses as deep as the schema; depth counts what merging adds.
  Expr compile(const Located& schema, int depth) {
    document_.step(schema.place);
    if (depth > kMaxDepth)
      refuse(schema.place, "schemas are nested more than {} deep, where 'allOf' and '$ref' make some again", kMaxDepth);
    if (schema.schema->is_bool()) return schema.schema->get_bool() ? json_.any_value() : out_.nothing();
    const json::object* object = schema.schema->if_object();
    if (object == nullptr)
      refuse(schema.place, "a schema must be an object, true or false; found {}", json_kind_name(*schema.schema));
    for (const auto& member : *object)
      if (!is_known(member.key()))
        refuse(schema.place, "keyword {} is not supported", quoted_for_message(member.key()));
    if (schema.place.pointer != "#" && object->if_contains("$id") != nullptr)
      refuse(schema.place, "keyword '$id' is supported at the top of a schema only");
    if (const json::value* reference = object->if_contains("$ref"))
      return compile_reference(schema, *object, *reference, depth);
    if (const json::value* all = object->if_contains("allOf")) return compile_all(schema, *object, *all, depth);
    for (const char* key : {"anyOf", "oneOf"})
      if (const json::value* choices = object->if_contains(key))
        return compile_any(schema, *object, key, *choices, depth);
    return compile_plain(schema.place, *object, depth);
  }

  Expr compile_reference(const Located& schema, const json::object& object, const json::value& reference, int depth) {
    if (constrains_beyond(object, "$ref")) return compile(document_.all_of({schema}, schema.place), depth + 1);
    return out_.call(rule_at(document_.resolve(reference, schema.place)));
  }

  Expr compile_all(const Located& schema, const json::object& object, const json::value& all, int depth) {
    if (all.is_array() && all.get_array().size() == 1 && !constrains_beyond(object, "allOf"))
      return compile({&all.get_array()[0], schema.place.at("allOf").at(size_t{0})}, depth + 1);
    return compile(document_.all_of({schema}, schema.place), depth + 1);
  }

  Expr compile_any(const Located& schema, const json::object& object, const char* key, const json::value& choices,
                   int depth) {
    const json::array* list = choices.if_array();
    if (list == nullptr || list->empty()) refuse(schema.place, "'{}' must be a list of at least one schema", key);
    const Place place = schema.place.at(key);
    std::vector<Located> branches;
    for (size_t i = 0; i < list->size(); ++i) branches.push_back({&(*list)[i], place.at(i)});
    if (std::string_view(key) == "oneOf") check_disjoint(branches, place);
    const json::value beside = without(object, key);
    std::vector<Expr> ways;
    for (const Located& branch : branches) {
      const bool alone = beside.get_object().empty();
      ways.push_back(
          compile(alone ? branch : document_.all_of({{&beside, schema.place}, branch}, branch.place), depth + 1));
    }
    return out_.alternatives(std::move(ways));
  }

  void check_disjoint(const std::vector<Located>& branches, const Place& place) {
    for (size_t i = 0; i < branches.size(); ++i)
      for (size_t k = 0; k < i; ++k)
        if (!document_.disjoint(branches[k], branches[i]))
          refuse(place,
                 "branches {} and {} of 'oneOf' might both accept one value, which oneOf forbids; use 'anyOf', or give "
                 "them different types or a required property with different constants",
                 k, i);
  }

  Expr compile_plain(const Place& place, const json::object& object, int depth) {
    if (object.if_contains("const") != nullptr || object.if_contains("enum") != nullptr)
      return compile_values(place, object);
    const unsigned types = types_that_apply(place, object);
    std::vector<Expr> ways;
    if (types == kAnyType) return json_.any_value();
    if (types & kNull) ways.push_back(json_.null());
    if (types & kBoolean) ways.push_back(json_.boolean());
    if (types & kString) ways.push_back(string_schema(place, object, json_));
    if (types & kNumber) ways.push_back(number_schema(place, object, (types & kFraction) == 0, json_, out_));
    if (types & kArray) ways.push_back(compile_array(place, object, depth));
    if (types & kObject) ways.push_back(compile_object(place, object, depth));
    return out_.alternatives(std::move(ways));
  }

  // Those of `type`; without it, those that the other keywords are about, or all.
  unsigned types_that_apply(const Place& place, const json::object& object) {
    if (const json::value* type = object.if_contains("type")) return types_of(*type, place);
    auto has = [&](std::initializer_list<const char*> keys) {
      return std::any_of(keys.begin(), keys.end(), [&](const char* key) { return object.if_contains(key) != nullptr; });
    };
    unsigned types = 0;
    if (has({"properties", "required", "additionalProperties", "minProperties", "maxProperties"})) types |= kObject;
    if (has({"items", "prefixItems", "minItems", "maxItems", "uniqueItems"})) types |= kArray;
    if (has({"minLength", "maxLength", "pattern", "format"})) types |= kString;
    if (has({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})) types |= kNumber;
    return types != 0 ? types : kAnyType;
  }

  Expr compile_values(const Place& place, const json::object& object) {
    const json::value *only = object.if_contains("const"), *list = object.if_contains("enum");
    const json::value* type = object.if_contains("type");
    for (const auto& member : object)
      if (const std::string_view key = member.key();
          key != "const" && key != "enum" && key != "type" && !is_annotation(key))
        refuse(place, "keyword {} beside '{}' is not supported; leave out the values that it excludes",
               quoted_for_message(key), only ? "const" : "enum");
    if (list != nullptr && !list->is_array()) refuse(place, "'enum' must be a list of values");
    const unsigned types = type != nullptr ? types_of(*type, place) : kAnyType;
    std::vector<Expr> ways;
    auto add = [&](const json::value& value) {
      document_.step(place);
      if ((type_of_value(value) & types) != 0) ways.push_back(json_.constant(value));
    };
    if (only != nullptr) {
      if (list == nullptr ||
          std::find(list->get_array().begin(), list->get_array().end(), *only) != list->get_array().end())
        add(*only);
    } else {
      for (const json::value& value : list->get_array()) add(value);
    }
    return out_.alternatives(std::move(ways));
  }

  Expr compile_array(const Place& place, const json::object& object, int depth) {
    const int64_t min = count_at(place, object, "minItems", 0), max = count_at(place, object, "maxItems", -1);
    if (max >= 0 && max < min) refuse(place, "'minItems' {} is above 'maxItems' {}: no array satisfies both", min, max);
    if (const json::value* unique = object.if_contains("uniqueItems");
        unique != nullptr && *unique != json::value(false))
      refuse(place, "'uniqueItems' is not supported; only false is");
    const json::value *items = object.if_contains("items"), *prefix = object.if_contains("prefixItems");
    if (items != nullptr && items->is_array())
      refuse(place, "'items' as a list is of older drafts; write 'prefixItems'");
    if (prefix != nullptr) return compile_tuple(place, *prefix, items, min, max, depth);
    if (items != nullptr && items->is_bool() && !items->get_bool())
      return min == 0 ? out_.literal("[]") : out_.nothing();
    return json_.array_of(items != nullptr ? compile({items, place.at("items")}, depth + 1) : json_.any_value(), min,
                          max);
  }

  // Without `items`, there are none beyond the first ones but where minItems asks for more.
  Expr compile_tuple(const Place& place, const json::value& prefix, const json::value* items, int64_t min, int64_t max,
                     int depth) {
    const json::array* list = prefix.if_array();
    if (list == nullptr || list->empty()) refuse(place, "'prefixItems' must be a list of at least one schema");
    const auto n = static_cast<int64_t>(list->size());
    const bool more = (items != nullptr && !(items->is_bool() && !items->get_bool())) || (items == nullptr && min > n);
    if (max < 0 && !more) max = n;
    if (!more) max = std::min(max, n);
    if (min > max && max >= 0) return out_.nothing();
    Graph graph;
    uint32_t at = 0;
    for (int64_t i = 0; i < n && (max < 0 || i < max); ++i) {
      if (i >= min) graph.accepting.push_back(at);
      const Expr item =
          compile({&(*list)[static_cast<size_t>(i)], place.at("prefixItems").at(static_cast<size_t>(i))}, depth + 1);
      const uint32_t next = graph.add_state();
      graph.add(at, i == 0 ? item : out_.sequence({json_.separator(), item}), next);
      at = next;
    }
    if (max >= 0 && max <= n) {
      graph.accepting.push_back(at);
    } else {
      const Expr item = items != nullptr ? compile({items, place.at("items")}, depth + 1) : json_.any_value();
      const uint32_t end = graph.add_state();
      graph.add(
          at,
          out_.repeat(out_.sequence({json_.separator(), item}), std::max<int64_t>(min - n, 0), max < 0 ? -1 : max - n),
          end);
      graph.accepting.push_back(end);
    }
    return out_.sequence({out_.literal("["), out_.graph(std::move(graph)), out_.literal("]")});
  }

  struct Property {
    std::string name;
    Expr value;
    bool required;
  };

  Expr compile_object(const Place& place, const json::object& object, int depth) {
    std::vector<Property> properties = properties_of(place, object, depth);
    const json::value* more = object.if_contains("additionalProperties");
    const bool open = more != nullptr ? !(more->is_bool() && !more->get_bool())
                                      : object.if_contains("properties") == nullptr && properties.empty();
    check_counts(place, object, properties, open);
    if (properties.empty() && open && (more == nullptr || more->is_bool())) return json_.any_object();
    std::optional<Expr> other;
    if (open) {
      std::vector<std::string> names;
      names.reserve(properties.size());
      for (const Property& p : properties) names.push_back(p.name);
      const Expr value =
          more != nullptr ? compile({more, place.at("additionalProperties")}, depth + 1) : json_.any_value();
      other = json_.member(names.empty() ? json_.any_string() : json_.string_except(names), value);
    }
    return out_.sequence({out_.literal("{"), members(properties, other), out_.literal("}")});
  }

  // In the order of `properties`; names that are required but not there follow.
  std::vector<Property> properties_of(const Place& place, const json::object& object, int depth) {
    std::set<std::string> required = required_names(place, object);
    std::vector<Property> out;
    if (const json::value* list = object.if_contains("properties")) {
      if (!list->is_object()) refuse(place, "'properties' must be an object");
      for (const auto& member : list->get_object()) {
        const std::string name(member.key());
        const Expr value = compile({&member.value(), place.at("properties").at(name)}, depth + 1);
        out.push_back({name, value, required.erase(name) != 0});
      }
    }
    const json::value* more = object.if_contains("additionalProperties");
    for (const std::string& name : required) {
      if (more != nullptr && more->is_bool() && !more->get_bool())
        refuse(place,
               "property {} is in 'required' but not in 'properties', and 'additionalProperties' is false: no object "
               "satisfies this",
               quoted_for_message(name));
      out.push_back({name,
                     more != nullptr ? compile({more, place.at("additionalProperties")}, depth + 1) : json_.any_value(),
                     true});
    }
    return out;
  }

  static std::set<std::string> required_names(const Place& place, const json::object& object) {
    std::set<std::string> out;
    const json::value* list = object.if_contains("required");
    if (list == nullptr) return out;
    if (!list->is_array()) refuse(place, "'required' must be a list of names");
    for (const json::value& name : list->get_array()) {
      if (!name.is_string()) refuse(place, "'required' holds {}; it is a list of names", json_kind_name(name));
      out.emplace(name.get_string());
    }
    return out;
  }

  // Only where the properties themselves keep to the counts.
  void check_counts(const Place& place, const json::object& object, const std::vector<Property>& properties,
                    bool open) {
    const int64_t min = count_at(place, object, "minProperties", 0), max = count_at(place, object, "maxProperties", -1);
    const auto required =
        std::count_if(properties.begin(), properties.end(), [](const Property& p) { return p.required; });
    if (min > required)
      refuse(place, "'minProperties' {} is above the number of required properties ({}); this is not supported", min,
             required);
    if (max >= 0 && (open || max < static_cast<int64_t>(properties.size())))
      refuse(place, "'maxProperties' {} is below the number of properties that may be there; this is not supported",
             max);
  }

  // State pairs along the properties: `none` where no member has been written, `some` where a comma must come first.
  Expr members(const std::vector<Property>& properties, std::optional<Expr> other) {
    Graph graph;
    std::optional<uint32_t> none = 0, some;
    const Expr comma = json_.separator(), skip = out_.empty();
    for (const Property& p : properties) {
      const uint32_t key = graph.add_state(), written = graph.add_state();
      if (none) graph.add(*none, skip, key);
      if (some) graph.add(*some, comma, key);
      graph.add(key, out_.sequence({json_.key(p.name), p.value}), written);
      if (p.required)
        none.reset();
      else if (some)
        graph.add(*some, skip, written);
      some = written;
    }
    if (other) {
      const uint32_t key = graph.add_state(), written = graph.add_state();
      if (none) graph.add(*none, skip, key);
      if (some) graph.add(*some, comma, key);
      graph.add(key, *other, written);
      graph.add(written, comma, key);
      graph.accepting.push_back(written);
    }
    if (none) graph.accepting.push_back(*none);
    if (some) graph.accepting.push_back(*some);
    return out_.graph(std::move(graph));
  }

  SchemaDocument document_;
  Expressions& out_;
  JsonText json_;
  std::map<const json::value*, RuleId> rule_of_;
  std::vector<std::pair<RuleId, Located>> waiting_;
};

}  // namespace

RuleId parse_schema(std::string_view text, Expressions& out) { return SchemaCompiler(text, out).run(); }

}  // namespace fathom::grammar
