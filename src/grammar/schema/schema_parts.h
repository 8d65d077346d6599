// What the files of the schema compiler share: places in a schema, lists of keywords, references, the merging of
// schemas that must all hold, and the proof that two cannot.
#pragma once
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json/json.h"
#include "grammar/limits.h"

namespace fathom::grammar {

// A JSON pointer as a fragment, "#/properties/name".
struct Place {
  std::string pointer = "#";
  Place at(std::string_view step) const;
  Place at(size_t index) const { return at(std::to_string(index)); }
};

template <class... Args>
[[noreturn]] void refuse(const Place& place, fmt::format_string<Args...> format, Args&&... args) {
  throw_bad_input("JSON schema, {}: {}", quoted_for_message(place.pointer, 200),
                  fmt::format(format, std::forward<Args>(args)...));
}

// A schema somewhere in the document (or made of several that are there).
struct Located {
  const json::value* schema;
  Place place;
};

bool is_annotation(std::string_view keyword);  // says nothing about what is valid
bool is_known(std::string_view keyword);
// Whether an object has keywords other than annotations and `but`.
bool constrains_beyond(const json::object& schema, std::string_view but);
// The same object without annotations and that keyword.
json::object without(const json::object& schema, std::string_view keyword);

// Bits of the kinds of JSON values; a whole number has two.
enum TypeBits : unsigned {
  kNull = 1,
  kBoolean = 2,
  kObject = 4,
  kArray = 8,
  kString = 16,
  kFraction = 32,
  kInteger = 64
};
inline constexpr unsigned kNumber = kFraction | kInteger, kAnyType = 127;
unsigned types_of(const json::value& type_keyword, const Place& place);  // refuses what is no type
unsigned type_of_value(const json::value& value);

// The document, its references and the schemas made of it.
class SchemaDocument {
 public:
  explicit SchemaDocument(std::string_view text);

  const json::value& root() const noexcept { return root_; }
  // What `$ref` in that schema names.
  Located resolve(const json::value& reference, const Place& place) const;
  // Counted work: refuses beyond kMaxSchemaSteps.
  void step(const Place& place, int64_t n = 1);

  // A schema that holds where all of these hold; references and allOf within them are followed. Refuses pairs of
  // keywords that it cannot join into one, by name.
  Located all_of(const std::vector<Located>& parts, const Place& place);
  // True when no value satisfies both, as far as types, constants and required properties show.
  bool disjoint(const Located& a, const Located& b);

 private:
  json::object flat(const Located& part, int depth);
  void merge(json::object& into, const json::object& from, const Place& place);
  void merge_properties(json::object& into, const json::object& from, const Place& place);
  void merge_keyword(json::object& into, std::string_view key, const json::value& value, const Place& place);

  struct Facts {
    unsigned types = kAnyType;
    std::optional<std::vector<const json::value*>> values;  // const, enum
    const json::object* object = nullptr;
    Place place;
  };
  Facts facts_of(Located schema);
  bool disjoint_by_property(const Facts& a, const Facts& b, int depth);
  bool disjoint(const Located& a, const Located& b, int depth);

  json::value root_;
  std::deque<json::value> made_;
  int64_t steps_ = 0;
};

}  // namespace fathom::grammar
