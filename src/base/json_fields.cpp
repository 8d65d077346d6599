#include "base/json_fields.h"

#include "base/error.h"
#include "base/json_number.h"

namespace fathom {

bool JsonFields::has(std::string_view key) const noexcept {
  const json::value* v = object_.if_contains(key);
  return v != nullptr && !v->is_null();
}

const json::value* JsonFields::maybe_value(std::string_view key) {
  read_.emplace(key);
  return has(key) ? object_.if_contains(key) : nullptr;
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

std::optional<std::string> JsonFields::maybe_text(std::string_view key) {
  const json::value* v = maybe_value(key);
  if (v == nullptr) return std::nullopt;
  if (!v->is_string()) refuse_type(key, "a string", *v);
  return std::string(v->get_string().data(), v->get_string().size());
}

const json::object* JsonFields::maybe_object(std::string_view key) {
  const json::value* v = maybe_value(key);
  if (v == nullptr) return nullptr;
  if (!v->is_object()) refuse_type(key, "an object", *v);
  return &v->get_object();
}

template <class T>
T JsonFields::required(std::optional<T> value, std::string_view key) const {
  if (!value) refuse_missing(key);
  return *std::move(value);
}

int64_t JsonFields::integer(std::string_view key) { return required(maybe_integer(key), key); }
double JsonFields::number(std::string_view key) { return required(maybe_number(key), key); }
std::string JsonFields::text(std::string_view key) { return required(maybe_text(key), key); }

std::optional<std::string> JsonFields::unread() const {
  for (const auto& [key, value] : object_)
    if (!value.is_null() && !was_read(key)) return std::string(key);
  return std::nullopt;
}

void JsonFields::refuse_missing(std::string_view key) const {
  throw_bad_input("{}: {} is missing{}; fathom guesses no sizes", where_, key,
                  object_.contains(key) ? " (it is null)" : "");
}

void JsonFields::refuse_type(std::string_view key, const char* needed, const json::value& found) const {
  throw_bad_input("{}: {} must be {}, found {}", where_, key, needed, json_found(found));
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
