#include "base/json/json_fields.h"

#include <algorithm>

#include "base/json/json_number.h"
#include "base/text/suggest.h"

namespace fathom {
namespace {

constexpr size_t kLongestKey = 60;  // in messages

// What can stand in a message as it is.
bool is_plain_word(std::string_view key) {
  const auto is_plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  };
  return !key.empty() && key.size() <= kLongestKey && std::all_of(key.begin(), key.end(), is_plain);
}

}  // namespace

JsonFields::JsonFields(const json::value& document, std::string where)
    : object_(document.if_object()), where_(std::move(where)), separator_(": ") {
  if (object_ == nullptr) throw_bad_input("{}: must be a JSON object, found {}", where_, json_kind_name(document));
}

std::string JsonFields::place(std::string_view key) const {
  return where_ + separator_ + (is_plain_word(key) ? std::string(key) : quoted_for_message(key, kLongestKey));
}

bool JsonFields::has(std::string_view key) const noexcept {
  const json::value* v = object_->if_contains(key);
  return v != nullptr && !v->is_null();
}

const json::value* JsonFields::maybe_value(std::string_view key) {
  read_.emplace(key);
  return has(key) ? object_->if_contains(key) : nullptr;
}

const json::value& JsonFields::value(std::string_view key) {
  if (const json::value* v = maybe_value(key)) return *v;
  refuse_missing(key);
}

std::optional<int64_t> JsonFields::maybe_integer(std::string_view key) {
  const json::value* v = maybe_value(key);
  if (v == nullptr) return std::nullopt;
  if (!v->is_int64()) refuse_type(key, "a whole number", *v);
  return v->get_int64();
}

std::optional<double> JsonFields::maybe_number(std::string_view key) {
  const json::value* v = maybe_value(key);
  if (v == nullptr) return std::nullopt;
  if (!v->is_number()) refuse_type(key, "a number", *v);
  return v->to_number<double>();
}

std::optional<bool> JsonFields::maybe_boolean(std::string_view key) {
  const json::value* v = maybe_value(key);
  if (v == nullptr) return std::nullopt;
  if (!v->is_bool()) refuse_type(key, "true or false", *v);
  return v->get_bool();
}

std::optional<std::string_view> JsonFields::maybe_text(std::string_view key) {
  const json::value* v = maybe_value(key);
  if (v == nullptr) return std::nullopt;
  if (!v->is_string()) refuse_type(key, "a string", *v);
  return std::string_view(v->get_string());
}

const json::array* JsonFields::maybe_array(std::string_view key) {
  const json::value* v = maybe_value(key);
  if (v == nullptr) return nullptr;
  if (!v->is_array()) refuse_type(key, "an array", *v);
  return &v->get_array();
}

std::optional<JsonFields> JsonFields::maybe_fields(std::string_view key) {
  const json::value* v = maybe_value(key);
  if (v == nullptr) return std::nullopt;
  if (!v->is_object()) refuse_type(key, "an object", *v);
  return JsonFields(v->get_object(), place(key), ".");
}

template <class T>
T JsonFields::required(std::optional<T> value, std::string_view key) const {
  if (!value) refuse_missing(key);
  return *std::move(value);
}

int64_t JsonFields::integer(std::string_view key) { return required(maybe_integer(key), key); }
double JsonFields::number(std::string_view key) { return required(maybe_number(key), key); }
std::string_view JsonFields::text(std::string_view key) { return required(maybe_text(key), key); }
JsonFields JsonFields::fields(std::string_view key) { return required(maybe_fields(key), key); }

const json::array& JsonFields::array(std::string_view key) {
  if (const json::array* list = maybe_array(key)) return *list;
  refuse_missing(key);
}

JsonFields JsonFields::entry(std::string_view key, size_t i) {
  const json::value& v = array(key)[i];
  if (!v.is_object()) throw_bad_input("{} must be an object, found {}", place(key, i), json_found(v));
  return JsonFields(v.get_object(), place(key, i), ".");
}

void JsonFields::expect_boolean(std::string_view key, bool wanted, bool when_absent) {
  if (maybe_boolean(key).value_or(when_absent) != wanted)
    throw_unsupported("{} = {} is not supported", place(key), !wanted);
}

std::optional<std::string> JsonFields::unread() const {
  for (const auto& [key, value] : *object_)
    if (!value.is_null() && !was_read(key)) return std::string(key);
  return std::nullopt;
}

void JsonFields::refuse_unread() const {
  if (const auto key = unread())
    throw_unsupported("{}: unknown key {}.{}", where_, quoted_for_message(*key, kLongestKey),
                      did_you_mean(*key, known()));
}

// Where it is probably there in another spelling, that is said.
void JsonFields::refuse_missing(std::string_view key) const {
  std::vector<std::string> others;
  for (const auto& item : *object_)
    if (const std::string_view other = item.key(); !was_read(other) && is_plain_word(other)) others.emplace_back(other);
  const std::string* other = nearest(key, others);
  throw_bad_input("{} is missing{}{}", place(key), object_->contains(key) ? " (it is null)" : "",
                  other == nullptr ? "" : fmt::format("; there is a key {}", *other));
}

void JsonFields::refuse_type(std::string_view key, std::string_view needed, const json::value& found) const {
  throw_bad_input("{} must be {}, found {}", place(key), needed, json_found(found));
}

std::vector<int64_t> token_ids_of_json(const json::value& value, const std::string& where) {
  const json::array one{value};
  std::vector<int64_t> ids;
  for (const json::value& id : value.is_array() ? value.get_array() : one) {
    if (!id.is_int64() || id.get_int64() < 0 || id.get_int64() > INT32_MAX)
      throw_bad_input("{} must be a token id or an array of them, found {}", where, json_found(id));
    ids.push_back(id.get_int64());
  }
  return ids;
}

}  // namespace fathom
