#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

#include "base/error.h"
#include "checkpoint/gguf.h"

namespace fathom {
namespace {

constexpr std::array<std::string_view, 13> kTypeNames = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                                         "bool", "string", "array", "u64", "i64", "f64"};
constexpr std::array kIntTypes = {GgufType::u8,  GgufType::i8,  GgufType::u16, GgufType::i16,
                                  GgufType::u32, GgufType::i32, GgufType::u64, GgufType::i64};
constexpr std::array kFloatTypes = {GgufType::f32, GgufType::f64};
constexpr std::array kBoolTypes = {GgufType::boolean};
constexpr std::array kStringTypes = {GgufType::string};

template <class T>
T number_at(const std::string& bytes, size_t i) noexcept {
  T value;
  std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
  return value;
}

// Calls fn with number i in its own type; v holds no strings.
template <class Fn>
auto with_number(const GgufValue& v, size_t i, Fn&& fn) {
  switch (v.type) {
    case GgufType::i8:
      return fn(number_at<int8_t>(v.bytes, i));
    case GgufType::u16:
      return fn(number_at<uint16_t>(v.bytes, i));
    case GgufType::i16:
      return fn(number_at<int16_t>(v.bytes, i));
    case GgufType::u32:
      return fn(number_at<uint32_t>(v.bytes, i));
    case GgufType::i32:
      return fn(number_at<int32_t>(v.bytes, i));
    case GgufType::f32:
      return fn(number_at<float>(v.bytes, i));
    case GgufType::u64:
      return fn(number_at<uint64_t>(v.bytes, i));
    case GgufType::i64:
      return fn(number_at<int64_t>(v.bytes, i));
    case GgufType::f64:
      return fn(number_at<double>(v.bytes, i));
    default:
      return fn(number_at<uint8_t>(v.bytes, i));  // u8 and bool
  }
}

size_t number_bytes(GgufType type) noexcept {
  switch (type) {
    case GgufType::u8:
    case GgufType::i8:
    case GgufType::boolean:
      return 1;
    case GgufType::u16:
    case GgufType::i16:
      return 2;
    case GgufType::u32:
    case GgufType::i32:
    case GgufType::f32:
      return 4;
    default:
      return 8;
  }
}

std::string value_kind(const GgufValue& v) {
  return fmt::format("{}{}", v.is_array ? "an array of " : "", name(v.type));
}

// Every integer that fits int64; the only ones that do not are the u64 above its range.
int64_t int_at(const GgufValue& v, size_t i, const std::string& where, std::string_view key) {
  if (v.type == GgufType::u64 && number_at<uint64_t>(v.bytes, i) > uint64_t{std::numeric_limits<int64_t>::max()}) {
    throw_bad_input("{}: key {} is {}, beyond the range of a signed 64-bit integer", where, quoted_for_message(key),
                    number_at<uint64_t>(v.bytes, i));
  }
  return with_number(v, i, [](auto number) { return static_cast<int64_t>(number); });
}

std::string element_text(const GgufValue& v, size_t i) {
  if (v.type == GgufType::string) return quoted_for_message(v.strings[i], 60);
  if (v.type == GgufType::boolean) return v.bytes[i] != 0 ? "true" : "false";
  return with_number(v, i, [](auto number) { return fmt::format("{}", number); });
}

}  // namespace

std::string_view name(GgufType type) noexcept { return kTypeNames[static_cast<size_t>(type)]; }

size_t GgufValue::count() const noexcept {
  return type == GgufType::string ? strings.size() : bytes.size() / number_bytes(type);
}

const GgufValue* GgufMetadata::find(std::string_view key) const noexcept {
  const auto it = index_.find(key);
  return it == index_.end() ? nullptr : &entries_[it->second].value;
}

const GgufValue* GgufMetadata::typed(std::string_view key, bool is_array, std::span<const GgufType> types,
                                     const char* needed) const {
  const GgufValue* v = find(key);
  if (v != nullptr && (v->is_array != is_array || std::find(types.begin(), types.end(), v->type) == types.end()))
    throw_bad_input("{}: key {} is {}; {} is needed", where_, quoted_for_message(key), value_kind(*v), needed);
  return v;
}

std::optional<int64_t> GgufMetadata::get_int(std::string_view key) const {
  const GgufValue* v = typed(key, false, kIntTypes, "an integer");
  if (v == nullptr) return std::nullopt;
  return int_at(*v, 0, where_, key);
}

std::optional<double> GgufMetadata::get_float(std::string_view key) const {
  const GgufValue* v = typed(key, false, kFloatTypes, "a float");
  if (v == nullptr) return std::nullopt;
  return with_number(*v, 0, [](auto number) { return static_cast<double>(number); });
}

std::optional<bool> GgufMetadata::get_bool(std::string_view key) const {
  const GgufValue* v = typed(key, false, kBoolTypes, "a bool");
  if (v == nullptr) return std::nullopt;
  return v->bytes[0] != 0;
}

std::optional<std::string> GgufMetadata::get_string(std::string_view key) const {
  const GgufValue* v = typed(key, false, kStringTypes, "a string");
  if (v == nullptr) return std::nullopt;
  return v->strings[0];
}

std::optional<std::vector<int64_t>> GgufMetadata::get_ints(std::string_view key) const {
  const GgufValue* v = typed(key, true, kIntTypes, "an array of integers");
  if (v == nullptr) return std::nullopt;
  std::vector<int64_t> values(v->count());
  for (size_t i = 0; i < values.size(); ++i) values[i] = int_at(*v, i, where_, key);
  return values;
}

std::optional<std::vector<float>> GgufMetadata::get_floats(std::string_view key) const {
  const GgufValue* v = typed(key, true, kFloatTypes, "an array of floats");
  if (v == nullptr) return std::nullopt;
  std::vector<float> values(v->count());
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = with_number(*v, i, [](auto number) { return static_cast<float>(number); });
  return values;
}

std::optional<std::vector<std::string>> GgufMetadata::get_strings(std::string_view key) const {
  const GgufValue* v = typed(key, true, kStringTypes, "an array of strings");
  if (v == nullptr) return std::nullopt;
  return v->strings;
}

void GgufMetadata::set(std::string_view key, GgufValue value) {
  const auto [it, is_new] = index_.try_emplace(std::string(key), entries_.size());
  if (is_new)
    entries_.push_back({std::string(key), std::move(value)});
  else
    entries_[it->second].value = std::move(value);
}

void GgufMetadata::erase(std::string_view key) {
  const auto it = index_.find(key);
  if (it == index_.end()) return;
  const size_t at = it->second;
  entries_.erase(entries_.begin() + static_cast<std::ptrdiff_t>(at));
  index_.erase(it);
  for (auto& [other, position] : index_)
    if (position > at) --position;
}

template <class T>
void GgufMetadata::set_numbers(std::string_view key, GgufType type, bool is_array, std::span<const T> values) {
  const auto bytes = std::as_bytes(values);
  set(key, {.type = type,
            .is_array = is_array,
            .bytes = std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()),
            .strings = {}});
}

void GgufMetadata::set_u8(std::string_view key, uint8_t value) {
  set_numbers(key, GgufType::u8, false, std::span<const uint8_t>(&value, 1));
}
void GgufMetadata::set_u16(std::string_view key, uint16_t value) {
  set_numbers(key, GgufType::u16, false, std::span<const uint16_t>(&value, 1));
}
void GgufMetadata::set_u32(std::string_view key, uint32_t value) {
  set_numbers(key, GgufType::u32, false, std::span<const uint32_t>(&value, 1));
}
void GgufMetadata::set_i32(std::string_view key, int32_t value) {
  set_numbers(key, GgufType::i32, false, std::span<const int32_t>(&value, 1));
}
void GgufMetadata::set_u64(std::string_view key, uint64_t value) {
  set_numbers(key, GgufType::u64, false, std::span<const uint64_t>(&value, 1));
}
void GgufMetadata::set_f32(std::string_view key, float value) {
  set_numbers(key, GgufType::f32, false, std::span<const float>(&value, 1));
}
void GgufMetadata::set_bool(std::string_view key, bool value) {
  const uint8_t byte = value ? 1 : 0;
  set_numbers(key, GgufType::boolean, false, std::span<const uint8_t>(&byte, 1));
}
void GgufMetadata::set_string(std::string_view key, std::string_view value) {
  set(key, {.type = GgufType::string, .is_array = false, .bytes = {}, .strings = {std::string(value)}});
}
void GgufMetadata::set_i32s(std::string_view key, std::span<const int32_t> values) {
  set_numbers(key, GgufType::i32, true, values);
}
void GgufMetadata::set_u32s(std::string_view key, std::span<const uint32_t> values) {
  set_numbers(key, GgufType::u32, true, values);
}
void GgufMetadata::set_f32s(std::string_view key, std::span<const float> values) {
  set_numbers(key, GgufType::f32, true, values);
}
void GgufMetadata::set_strings(std::string_view key, std::span<const std::string> values) {
  set(key, {.type = GgufType::string, .is_array = true, .bytes = {}, .strings = {values.begin(), values.end()}});
}

std::vector<std::string> GgufMetadata::keys() const {
  std::vector<std::string> keys;
  keys.reserve(entries_.size());
  for (const Entry& e : entries_) keys.push_back(e.key);
  return keys;
}

std::string GgufMetadata::text(std::string_view key) const {
  constexpr size_t kShown = 8;
  const GgufValue* v = find(key);
  if (v == nullptr) return "";
  if (!v->is_array) return element_text(*v, 0);
  std::string out = "[";
  for (size_t i = 0; i < std::min(v->count(), kShown); ++i) out += (i > 0 ? ", " : "") + element_text(*v, i);
  if (v->count() > kShown) out += fmt::format(", ... {} in all", v->count());
  return out + "]";
}

}  // namespace fathom
