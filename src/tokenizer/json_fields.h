// Reading fields of a JSON object from outside: every key is used or refused, every type is checked, messages name the
// place.
#pragma once
#include <algorithm>
#include <initializer_list>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/json.h"

namespace fathom {

inline std::string_view view(const json::string& s) { return {s.data(), s.size()}; }

// One object and its place, as "tokenizer.json: model".
struct JsonObject {
  const json::object* object;
  std::string where;

  JsonObject(const json::value& value, std::string place) : object(value.if_object()), where(std::move(place)) {
    if (object == nullptr) throw_bad_input("{} is {}; needed is an object.", where, json_kind_name(value));
  }

  std::string place(std::string_view key) const { return fmt::format("{}.{}", where, key); }

  // Refuses keys outside the list; a null says nothing.
  void expect_keys(std::initializer_list<std::string_view> known) const {
    for (const auto& item : *object) {
      const std::string_view key(item.key().data(), item.key().size());
      if (!item.value().is_null() && std::find(known.begin(), known.end(), key) == known.end())
        throw_unsupported("{} has the key {}, which fathom does not know.", where, quoted_for_message(key));
    }
  }

  // Null counts as absent.
  const json::value* find(std::string_view key) const {
    const json::value* value = object->if_contains(key);
    return value == nullptr || value->is_null() ? nullptr : value;
  }
  const json::value& need(std::string_view key) const {
    if (const json::value* value = find(key)) return *value;
    throw_bad_input("{} has no {}.", where, quoted_for_message(key));
  }

  std::string_view text(std::string_view key) const {
    const json::value& value = need(key);
    if (!value.is_string()) throw_bad_input("{} is {}; needed is a string.", place(key), json_kind_name(value));
    return view(value.get_string());
  }
  bool flag(std::string_view key, bool when_absent) const {
    const json::value* value = find(key);
    if (value == nullptr) return when_absent;
    if (!value->is_bool()) throw_bad_input("{} is {}; needed is true or false.", place(key), json_kind_name(*value));
    return value->get_bool();
  }
  const json::array& list(std::string_view key) const {
    const json::value& value = need(key);
    if (!value.is_array()) throw_bad_input("{} is {}; needed is an array.", place(key), json_kind_name(value));
    return value.get_array();
  }
  // A flag that fathom can only read with one value.
  void expect_flag(std::string_view key, bool wanted, bool when_absent) const {
    if (flag(key, when_absent) != wanted) throw_unsupported("{} = {} is not supported.", place(key), !wanted);
  }
};

// An id: a whole number from 0 to kMaxTokens.
int32_t id_of_json(const json::value& value, const std::string& where);

// The parts of tokenizer.json that have files of their own.
struct TokenizerParts;
void read_pre_tokenizer(const json::value& value, const std::string& where, TokenizerParts& parts);
void read_post_processor(const json::value& value, const std::string& where, TokenizerParts& parts);
json::value write_pre_tokenizer(const TokenizerParts& parts);

}  // namespace fathom
