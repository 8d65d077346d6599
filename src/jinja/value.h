// Values of the template interpreter, with Python's rules for truth, equality, order, printing and JSON.
//
// Lists, dicts and strings are immutable and shared (transformers runs templates in an immutable sandbox), so no value
// can hold itself; namespaces are the one mutable thing, owned by the interpreter and referred to by plain pointer.
// Nesting is counted when a list or dict is made and ends in a Fault beyond kMaxNesting, which bounds every recursion
// over values.
#pragma once
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "base/json/json.h"
#include "jinja/text.h"

namespace fathom::jinja {

constexpr int kMaxNesting = 64;

struct Value;
struct Statement;
struct Namespace;

// Names the thing that was looked up and not found, for messages.
struct Undefined {
  std::string what;
};

// What Python type stands behind a sequence. They differ in what may be asked of them: a generator has no length, no
// index and no truth, and is used up by one pass.
enum class ListKind { list, tuple, view, range, generator };
struct List {
  std::vector<Value> items;
  ListKind kind = ListKind::list;
  int nesting = 1;
  uint64_t weight =
      1;  // bytes and items in all of it, counted through shared parts (saturating): what a walk over it costs
  mutable bool used_up = false;
};
struct Dict {
  std::vector<std::pair<Text, Value>> items;  // in insertion order
  std::unordered_map<std::string, size_t> places;
  int nesting = 1;
  uint64_t weight = 1;
  const Value* find(const std::string& key) const noexcept;
};
// The variable `loop` inside a for.
struct Loop {
  std::shared_ptr<const List> items;
  size_t index0 = 0;
  int64_t depth = 1;
};
enum class Function { make_namespace, make_dict, range, raise_exception, strftime_now, lipsum, cycler, joiner };

struct Value {
  using Variant = std::variant<Undefined, std::monostate, bool, int64_t, double, std::shared_ptr<const Text>,
                               std::shared_ptr<const List>, std::shared_ptr<const Dict>, std::shared_ptr<const Loop>,
                               Namespace*, const Statement*, Function>;
  Variant v;  // monostate: None. const Statement*: a macro

  Value() : v(std::monostate{}) {}
  Value(bool x) : v(x) {}
  Value(const char*) = delete;  // would become a bool
  Value(int64_t x) : v(x) {}
  Value(double x) : v(x) {}
  Value(Undefined x) : v(std::move(x)) {}
  Value(Text x) : v(std::make_shared<const Text>(std::move(x))) {}
  Value(Function x) : v(x) {}
  Value(Namespace* x) : v(x) {}
  Value(const Statement* macro) : v(macro) {}
  Value(std::shared_ptr<const Loop> x) : v(std::move(x)) {}

  const Text* text() const noexcept;
  const List* list() const noexcept;
  const Dict* dict() const noexcept;
  Namespace* name_space() const noexcept;
  const Undefined* undefined() const noexcept { return std::get_if<Undefined>(&v); }
  bool is_none() const noexcept { return std::holds_alternative<std::monostate>(v); }
  bool is_number() const noexcept;                  // int, float or bool
  std::optional<int64_t> integer() const noexcept;  // int or bool, as Python's bool is an int
};
struct Namespace {
  std::vector<std::pair<std::string, Value>> fields;
  Value* find(std::string_view name) noexcept;
};

Value make_list(std::vector<Value> items, ListKind kind = ListKind::list);  // Fault when nested too deeply
Value make_dict(std::vector<std::pair<Text, Value>> items);                 // a later key replaces an earlier one
// Every string of the value gets the given origin.
Value value_from_json(const json::value& from, Origin origin);

const char* type_name(const Value& value) noexcept;  // Python's name for it
uint64_t weight(const Value& value) noexcept;        // bytes and items in it, see List::weight
bool is_true(const Value& value);
bool equals(const Value& a, const Value& b);
bool less(const Value& a, const Value& b);  // Fault unless both are numbers or both are strings

Text to_text(const Value& value);  // Python's str(); Fault for what would print as a machine address
std::string float_text(double x);  // Python's repr of a float: the shortest text that reads back as x

struct JsonStyle {
  std::optional<int64_t> indent;  // absent: one line
  Text item_separator{", "}, key_separator{": "};
  bool ensure_ascii = false, sort_keys = false;
};
Text to_json(const Value& value, const JsonStyle& style);  // Python's json.dumps

}  // namespace fathom::jinja
