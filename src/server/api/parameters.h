// The parameters of a request's body: each listed once, with its type and range, and read through that list. What is
// not listed is refused by name, as OpenAI does: a client that asks for something gets it, or is told.
#pragma once
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json/json.h"
#include "server/api/api_error.h"

namespace fathom::server {

struct Parameter {
  enum class Type : uint8_t {
    number,
    integer,
    boolean,
    text,
    object,
    array,
    any,      // several types: its reader checks it
    ignored,  // changes no answer
    refused   // well known, and not done here: `meaning` says what to do
  };
  std::string_view name;
  Type type;
  double least = 0, most = 0;  // of numbers, both included
  std::string_view meaning = {};
  std::string_view form = {};  // a JSON schema of what else holds, for the document of the API; its reader checks it
};

using ParameterLists = std::vector<std::span<const Parameter>>;

inline constexpr double kNoLimit = 9007199254740991;  // 2^53 - 1: integers of JSON up to here are exact everywhere

// Forms that several parameters have.
inline constexpr std::string_view kTextsForm =
    R"({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "maxItems": 16}, {"type": "null"}]})";
inline constexpr std::string_view kPromptsForm =
    R"({"anyOf": [{"type": "string"}, {"type": "null"}, {"type": "array", "items": {"anyOf": [{"type": "string"}, {"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]}}]})";
inline constexpr std::string_view kTextOrListForm =
    R"({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}, {"type": "null"}]})";
inline constexpr std::string_view kToolChoiceForm =
    R"({"anyOf": [{"enum": ["none", "auto", "required"]}, {"type": "object"}, {"type": "null"}]})";
inline constexpr std::string_view kObjectsForm = R"({"items": {"type": "object"}})";
inline constexpr std::string_view kStringsForm = R"({"items": {"type": "string"}})";
inline constexpr std::string_view kIdsForm = R"({"items": {"type": "integer", "minimum": 0}})";

// One body, checked against the lists: it is an object, every key is in a list, types and ranges hold. null counts as
// absent. Throws ApiError (400) that names the parameter.
class Parameters {
 public:
  Parameters(std::string_view body, std::span<const std::span<const Parameter>> lists);

  bool has(std::string_view name) const noexcept { return find(name) != nullptr; }
  const json::value* find(std::string_view name) const noexcept;  // nullptr: absent or null
  std::optional<double> number(std::string_view name) const;
  std::optional<int64_t> integer(std::string_view name) const;
  std::optional<bool> boolean(std::string_view name) const;
  std::optional<std::string> text(std::string_view name) const;
  const json::object* object(std::string_view name) const;
  const json::array* array(std::string_view name) const;
  // A text, or an array of at most `most` of them.
  std::vector<std::string> texts(std::string_view name, size_t most) const;
  const json::object& root() const noexcept { return value_.get_object(); }

 private:
  json::value value_;
};

// A field of an object; nullptr: absent or null.
const json::value* given(const json::object& object, std::string_view name) noexcept;

// The same, a text that must be there; `place` names the object in the message, `param` is refused.
std::string needed_text(const json::object& object, std::string_view name, const std::string& place,
                        const std::string& param);

// {"a": true, ...} of a parameter that is an object: only these keys, all booleans. Absent ones are false.
bool flag_of(const json::object* object, std::string_view param, std::string_view name);
void only_keys(const json::object* object, std::string_view param, std::initializer_list<std::string_view> names);

}  // namespace fathom::server
