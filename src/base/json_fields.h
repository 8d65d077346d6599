// One JSON object whose every key must be accounted for.
#pragma once
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace fathom {

// Reads keys and remembers them; unread() then names the first key that nobody asked for. A null counts as
// absent. Every reader throws bad_input naming where, the key and what was found when the type is another.
class JsonFields {
 public:
  JsonFields(const json::object& object, std::string where) : object_(object), where_(std::move(where)) {}

  const std::string& where() const noexcept { return where_; }
  bool has(std::string_view key) const noexcept;  // present and not null; does not count as reading

  std::optional<int64_t> maybe_integer(std::string_view key);
  int64_t integer(std::string_view key);
  std::optional<double> maybe_number(std::string_view key);
  double number(std::string_view key);
  std::optional<bool> maybe_boolean(std::string_view key);
  std::optional<std::string> maybe_text(std::string_view key);
  std::string text(std::string_view key);
  const json::object* maybe_object(std::string_view key);
  const json::value* maybe_value(std::string_view key);  // of any type

  void ignore(std::string_view key) { read_.emplace(key); }
  bool was_read(std::string_view key) const { return read_.contains(key); }
  // First key in the order of the file that was neither read nor ignored; a null is nothing to read.
  std::optional<std::string> unread() const;

  // Every key that was read or ignored.
  std::vector<std::string> known() const { return {read_.begin(), read_.end()}; }

  [[noreturn]] void refuse_type(std::string_view key, const char* needed, const json::value& found) const;

 private:
  template <class T>
  T required(std::optional<T> value, std::string_view key) const;
  [[noreturn]] void refuse_missing(std::string_view key) const;

  const json::object& object_;
  std::string where_;
  std::set<std::string, std::less<>> read_;
};

// A token id or an array of them, as eos_token_id is in two files. bad_input, naming `where`, for anything else.
std::vector<int64_t> token_ids_of_json(const json::value& value, const std::string& where);

}  // namespace fathom
