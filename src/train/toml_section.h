// One table of a TOML file, read strictly: every key is asked for once, and a key that nobody asked for is an error.
#pragma once
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/json.h"

namespace fathom {

// Values arrive as JSON (to_json), so that no other file needs the TOML library's headers.
class TomlSection {
 public:
  TomlSection(const json::object& table, std::string where) : table_(table), where_(std::move(where)) {}

  double number(const char* key, std::optional<double> fallback = std::nullopt);
  int64_t integer(const char* key, std::optional<int64_t> fallback = std::nullopt);
  std::string text(const char* key, std::optional<std::string> fallback = std::nullopt);
  std::vector<double> numbers(const char* key, std::vector<double> fallback);
  // One of `choices`: its index.
  size_t choice(const char* key, const std::vector<std::string>& choices, size_t fallback);
  // Throws for a key that was not asked for, with the nearest one that was.
  void finish() const;

  [[noreturn]] void fail(const char* key, const std::string& found, const std::string& needed) const;

 private:
  const json::value* find(const char* key);
  [[noreturn]] void missing(const char* key) const;

  const json::object& table_;
  std::string where_;  // "tiny.toml: [schedule]"
  std::set<std::string> asked_;
};

// The text of a TOML file as one JSON object; dates are refused. bad_input with line and column.
json::object toml_to_json(std::string_view text, const std::string& where);

}  // namespace fathom
