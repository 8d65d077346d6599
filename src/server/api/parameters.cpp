#include "server/api/parameters.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/text/suggest.h"

namespace fathom::server {
namespace {

using Type = Parameter::Type;

// A whole number however it is written: 16, 16.0.
std::optional<int64_t> whole(const json::value& v) {
  if (const int64_t* i = v.if_int64()) return *i;
  if (const double* d = v.if_double(); d != nullptr && std::nearbyint(*d) == *d && std::abs(*d) <= kNoLimit)
    return static_cast<int64_t>(*d);
  return {};
}

std::string number_text(double d) {
  return std::nearbyint(d) == d && std::abs(d) < 1e15 ? fmt::format("{:.0f}", d) : fmt::format("{}", d);
}

std::string range_text(const Parameter& p) {
  if (p.most >= kNoLimit)
    return p.least <= -kNoLimit ? "of at most 53 bits" : fmt::format("of at least {}", number_text(p.least));
  return fmt::format("from {} to {}", number_text(p.least), number_text(p.most));
}

[[noreturn]] void refuse_type(const Parameter& p, const char* needed, const json::value& found) {
  refuse(std::string(p.name), "{} is {}; needed is {}", p.name, json_kind_name(found), needed);
}

void check_value(const Parameter& p, const json::value& v) {
  const std::string name(p.name);
  switch (p.type) {
    case Type::refused:
      refuse(name, "{} is not supported: {}", p.name, p.meaning);
    case Type::boolean:
      if (!v.is_bool()) refuse_type(p, "true or false", v);
      break;
    case Type::text:
      if (!v.is_string()) refuse_type(p, "a text", v);
      break;
    case Type::object:
      if (!v.is_object()) refuse_type(p, "an object", v);
      break;
    case Type::array:
      if (!v.is_array()) refuse_type(p, "an array", v);
      break;
    case Type::integer: {
      const auto n = whole(v);
      if (!n) {
        if (v.is_number())
          refuse(name, "{} is {}; needed is a whole number {}", p.name, json::serialize(v), range_text(p));
        refuse_type(p, "a whole number", v);
      }
      if (static_cast<double>(*n) < p.least || static_cast<double>(*n) > p.most)
        refuse(name, "{} is {}; needed is a whole number {}", p.name, *n, range_text(p));
      break;
    }
    case Type::number: {
      if (!v.is_number()) refuse_type(p, "a number", v);
      const auto d = v.to_number<double>();
      if (!(d >= p.least && d <= p.most))
        refuse(name, "{} is {}; needed is a number {}", p.name, number_text(d), range_text(p));
      break;
    }
    case Type::any:
    case Type::ignored:
      break;
  }
}

const Parameter* listed(std::span<const std::span<const Parameter>> lists, std::string_view name) {
  for (const auto list : lists)
    for (const Parameter& p : list)
      if (p.name == name) return &p;
  return nullptr;
}

[[noreturn]] void refuse_unknown(std::span<const std::span<const Parameter>> lists, std::string_view name) {
  std::vector<std::string> names;
  for (const auto list : lists)
    for (const Parameter& p : list)
      if (p.type != Type::refused && p.type != Type::ignored) names.emplace_back(p.name);
  const bool is_plain = !name.empty() && name.size() <= 60 && std::all_of(name.begin(), name.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' || c == '.';
  });
  const std::string shown = is_plain ? std::string(name) : quoted_for_message(name, 60);
  throw ApiError({.status = 400,
                  .message = fmt::format("there is no parameter {}.{}", shown, did_you_mean(std::string(name), names)),
                  .param = shown,
                  .code = "unknown_parameter"});
}

}  // namespace

Parameters::Parameters(std::string_view body, std::span<const std::span<const Parameter>> lists) {
  try {
    value_ = parse_json(body, "the request body", {.max_depth = 64});
  } catch (const Error& e) {
    throw ApiError({.status = 400, .message = e.what(), .code = "invalid_json"});
  }
  if (!value_.is_object())
    throw ApiError({.status = 400,
                    .message = fmt::format("the request body is {}; needed is an object", json_kind_name(value_)),
                    .code = "invalid_json"});
  for (const auto& [key, v] : value_.get_object()) {
    const Parameter* p = listed(lists, key);
    if (p == nullptr) refuse_unknown(lists, key);
    if (!v.is_null()) check_value(*p, v);
  }
}

const json::value* given(const json::object& object, std::string_view name) noexcept {
  const json::value* v = object.if_contains(name);
  return v == nullptr || v->is_null() ? nullptr : v;
}

std::string needed_text(const json::object& object, std::string_view name, const std::string& place,
                        const std::string& param) {
  const json::value* v = given(object, name);
  if (v == nullptr || !v->is_string()) refuse(param, "{} has no {} that is a text", place, name);
  return std::string(v->get_string());
}

const json::value* Parameters::find(std::string_view name) const noexcept { return given(value_.get_object(), name); }

std::optional<double> Parameters::number(std::string_view name) const {
  const json::value* v = find(name);
  return v == nullptr ? std::nullopt : std::optional(v->to_number<double>());
}

std::optional<int64_t> Parameters::integer(std::string_view name) const {
  const json::value* v = find(name);
  return v == nullptr ? std::nullopt : whole(*v);
}

std::optional<bool> Parameters::boolean(std::string_view name) const {
  const json::value* v = find(name);
  return v == nullptr ? std::nullopt : std::optional(v->get_bool());
}

std::optional<std::string> Parameters::text(std::string_view name) const {
  const json::value* v = find(name);
  return v == nullptr ? std::nullopt : std::optional(std::string(v->get_string()));
}

const json::object* Parameters::object(std::string_view name) const {
  const json::value* v = find(name);
  return v == nullptr ? nullptr : v->if_object();
}

const json::array* Parameters::array(std::string_view name) const {
  const json::value* v = find(name);
  return v == nullptr ? nullptr : v->if_array();
}

std::vector<std::string> Parameters::texts(std::string_view name, size_t most) const {
  const json::value* v = find(name);
  const std::string param(name);
  if (v == nullptr) return {};
  if (v->is_string()) return {std::string(v->get_string())};
  const json::array* array = v->if_array();
  if (array == nullptr) refuse(param, "{} is {}; needed is a text, or an array of texts", name, json_kind_name(*v));
  if (array->size() > most) refuse(param, "{} has {} entries; at most {} are taken", name, array->size(), most);
  std::vector<std::string> texts;
  for (size_t i = 0; i < array->size(); ++i) {
    if (!(*array)[i].is_string()) refuse(param, "{}[{}] is {}; needed is a text", name, i, json_kind_name((*array)[i]));
    texts.emplace_back((*array)[i].get_string());
  }
  return texts;
}

bool flag_of(const json::object* object, std::string_view param, std::string_view name) {
  const json::value* v = object == nullptr ? nullptr : given(*object, name);
  if (v == nullptr) return false;
  if (!v->is_bool())
    refuse(fmt::format("{}.{}", param, name), "{}.{} is {}; needed is true or false", param, name, json_kind_name(*v));
  return v->get_bool();
}

void only_keys(const json::object* object, std::string_view param, std::initializer_list<std::string_view> names) {
  if (object == nullptr) return;
  for (const auto& [key, value] : *object)
    if (std::find(names.begin(), names.end(), std::string_view(key)) == names.end())
      refuse(fmt::format("{}.{}", param, quoted_for_message(key, 60)), "there is no {}.{}; known are {}", param,
             quoted_for_message(key, 60), fmt::join(names, ", "));
}

}  // namespace fathom::server
