// The strict reader of JSON objects from outside: every key is used or refused, every type is checked, and messages say
// where, what was found and what was needed.
#pragma once
#include <cstdint>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "base/json/json.h"

namespace fathom {

// One object, which must stay. It remembers the keys that were asked for, so that unread() and refuse_unread() find
// those that nobody knows. A null counts as absent. A missing key and a value of another type are bad_input.
class JsonFields {
 public:
  // A document: its keys are told as "where: key", those of an object in it as "where: outer.inner".
  JsonFields(const json::value& document, std::string where);
  JsonFields(const json::value&& gone, std::string where) = delete;

  const json::object& object() const noexcept { return *object_; }
  const std::string& where() const noexcept { return where_; }
  // Where a key lies, for messages; one of the file's own making is quoted and cut.
  std::string place(std::string_view key) const;
  std::string place(std::string_view key, size_t i) const { return fmt::format("{}[{}]", place(key), i); }
  bool has(std::string_view key) const noexcept;  // present and not null; does not count as reading

  const json::value* maybe_value(std::string_view key);  // of any type
  const json::value& value(std::string_view key);
  std::optional<int64_t> maybe_integer(std::string_view key);
  int64_t integer(std::string_view key);
  std::optional<double> maybe_number(std::string_view key);
  double number(std::string_view key);
  std::optional<bool> maybe_boolean(std::string_view key);
  std::optional<std::string_view> maybe_text(std::string_view key);
  std::string_view text(std::string_view key);
  const json::array* maybe_array(std::string_view key);
  const json::array& array(std::string_view key);
  std::optional<JsonFields> maybe_fields(std::string_view key);
  JsonFields fields(std::string_view key);
  // Entry i of the array of objects under `key`.
  JsonFields entry(std::string_view key, size_t i);

  // A key of which fathom reads one value only: unsupported for the other.
  void expect_boolean(std::string_view key, bool wanted, bool when_absent);

  void ignore(std::string_view key) { read_.emplace(key); }
  bool was_read(std::string_view key) const { return read_.contains(key); }
  // First key in the order of the file that was neither read nor ignored; a null is nothing to read.
  std::optional<std::string> unread() const;
  // Unsupported when there is such a key.
  void refuse_unread() const;

  // Every key that was read or ignored.
  std::vector<std::string> known() const { return {read_.begin(), read_.end()}; }

  [[noreturn]] void refuse_type(std::string_view key, std::string_view needed, const json::value& found) const;

 private:
  JsonFields(const json::object& object, std::string where, const char* separator)
      : object_(&object), where_(std::move(where)), separator_(separator) {}
  template <class T>
  T required(std::optional<T> value, std::string_view key) const;
  [[noreturn]] void refuse_missing(std::string_view key) const;

  const json::object* object_;
  std::string where_;
  const char* separator_;  // between where_ and a key
  std::set<std::string, std::less<>> read_;
};

// A token id or an array of them, as eos_token_id is in two files. bad_input, naming `where`, for anything else.
std::vector<int64_t> token_ids_of_json(const json::value& value, const std::string& where);

}  // namespace fathom
