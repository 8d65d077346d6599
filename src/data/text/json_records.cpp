#include "data/text/json_records.h"

#include <charconv>

#include "base/error.h"
#include "base/json/json.h"
#include "base/text/utf8.h"

namespace fathom {
namespace {

constexpr std::string_view kSpace = " \t\r\n";
constexpr size_t kKeptKeys = 12;

bool is_first_half(uint32_t unit) { return unit >= 0xd800 && unit < 0xdc00; }
bool is_second_half(uint32_t unit) { return unit >= 0xdc00 && unit < 0xe000; }

// The four hexadecimal digits of an escape that begins at text[at] with \u.
std::optional<uint32_t> escaped_unit(std::string_view text, size_t at) {
  uint32_t unit = 0;
  if (text.substr(at, 2) != "\\u" || at + 6 > text.size()) return {};
  const char* digits = text.data() + at + 2;
  if (std::from_chars(digits, digits + 4, unit, 16).ptr != digits + 4) return {};
  return unit;
}

// Appends what the escape at text[at] stands for; its length, 0 when it is none.
size_t append_escape(std::string_view text, size_t at, std::string& out) {
  static constexpr std::string_view kNames = "\"\\/bfnrt", kBytes = "\"\\/\b\f\n\r\t";
  if (at + 1 >= text.size()) return 0;
  if (const size_t i = kNames.find(text[at + 1]); i != std::string_view::npos) {
    out += kBytes[i];
    return 2;
  }
  const auto unit = escaped_unit(text, at);
  if (!unit) return 0;
  if (is_first_half(*unit))
    if (const auto second = escaped_unit(text, at + 6); second && is_second_half(*second)) {
      append_utf8(out, 0x10000 + ((*unit - 0xd800) << 10) + (*second - 0xdc00));
      return 12;
    }
  if (is_first_half(*unit) || is_second_half(*unit))
    out += '\xff';
  else
    append_utf8(out, *unit);
  return 6;
}

// The string that stands in the quotes; nothing when an escape or a control character is not JSON. No JSON library
// passes on what is ill-formed, so that a policy can be applied to it; hence by hand.
std::optional<std::string> read_string(std::string_view quoted) {
  const std::string_view text = quoted.substr(1, quoted.size() - 2);
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    if (static_cast<unsigned char>(text[at]) < 0x20) return {};
    if (text[at] != '\\') {
      out += text[at++];
      continue;
    }
    const size_t length = append_escape(text, at, out);
    if (length == 0) return {};
    at += length;
  }
  return out;
}

// A value without brackets or quotes, as far as it is one: also what Python writes for numbers that JSON does not have.
bool is_word_or_number(std::string_view value) {
  for (const std::string_view word : {"true", "false", "null", "NaN", "Infinity", "-Infinity"})
    if (value == word) return true;
  return value.find_first_not_of("+-.0123456789eE") == std::string_view::npos;
}

// The members of an object, one after another.
class Members {
 public:
  explicit Members(std::string_view object) : text_(object) {}

  // Nothing at the end, and when the text is no object: failed().
  std::optional<JsonMember> next() {
    at_ = skip_json_space(text_, at_ + 1);  // behind the brace or comma
    if (char_at(at_) == '}' && is_first_) return end();
    is_first_ = false;
    const std::string_view key = value_at(at_);
    if (!key.starts_with('"')) return fail();
    at_ = skip_json_space(text_, at_ + key.size());
    if (char_at(at_) != ':') return fail();
    at_ = skip_json_space(text_, at_ + 1);
    const std::string_view value = value_at(at_);
    if (value.empty() ||
        (std::string_view("{[\"").find(value[0]) == std::string_view::npos && !is_word_or_number(value)))
      return fail();
    at_ = skip_json_space(text_, at_ + value.size());
    is_last_ = char_at(at_) == '}';
    if (!is_last_ && char_at(at_) != ',') return fail();
    return JsonMember{key, value};
  }
  bool is_last() const { return is_last_; }
  bool failed() const { return failed_; }
  size_t position() const { return at_; }

 private:
  char char_at(size_t at) const { return at < text_.size() ? text_[at] : '\0'; }
  std::string_view value_at(size_t at) const {
    if (at >= text_.size() || std::string_view(",:]}").find(text_[at]) != std::string_view::npos) return {};
    const auto end = JsonExtent().end_of(text_.substr(at));
    return end ? text_.substr(at, *end) : std::string_view();
  }
  std::optional<JsonMember> fail() {
    failed_ = true;
    return {};
  }
  std::optional<JsonMember> end() {
    is_last_ = true;
    return {};
  }

  std::string_view text_;
  size_t at_ = 0;
  bool is_first_ = true, is_last_ = false, failed_ = false;
};

// Throws what the strict reader says, which knows the place.
[[noreturn]] void throw_not_json(std::string_view record, const std::string& where) {
  parse_json(replace_invalid_utf8(record), where);
  throw_bad_input("{}: is not valid JSON", where);
}

JsonRecord read_object(std::string_view object, std::string_view key, const std::string& where) {
  JsonRecord out{.kind = JsonRecord::Kind::object_without_text, .text = {}, .keys = {}, .field = {}};
  Members members(object);
  bool found = false;
  while (!members.is_last()) {
    const auto member = members.next();
    if (!member && members.failed()) throw_not_json(object, where);
    if (!member) break;
    const auto name = read_string(member->key);
    if (!name) throw_not_json(object, where);
    if (out.keys.size() < kKeptKeys) out.keys.push_back(*name);
    if (*name != key) continue;
    if (found) throw_bad_input("{}: the key {} occurs twice", where, quoted_for_message(key));
    found = true;
    if (member->value == "null" || member->value == "NaN") {
      out.kind = JsonRecord::Kind::no_text;
    } else if (member->value.front() == '"') {
      auto text = read_string(member->value);
      if (!text) throw_not_json(object, where);
      out.text = std::move(*text);
      out.kind = JsonRecord::Kind::text;
    } else {
      out.field = member->value;
    }
  }
  if (members.position() + 1 != object.size()) throw_not_json(object, where);
  return out;
}

}  // namespace

size_t skip_json_space(std::string_view text, size_t at) noexcept { return text.find_first_not_of(kSpace, at); }

std::optional<size_t> JsonExtent::end_of(std::string_view text) {
  for (; at_ < text.size(); ++at_) {
    const char c = text[at_];
    if (in_string_) {
      if (is_escaped_) {
        is_escaped_ = false;
      } else if (c == '\\') {
        is_escaped_ = true;
      } else if (c == '"') {
        in_string_ = false;
        if (depth_ == 0) return at_ + 1;
      }
    } else if (c == '"') {
      if (depth_ == 0 && at_ > 0) return at_;  // a number or a word ended
      in_string_ = true;
    } else if (c == '{' || c == '[') {
      if (depth_ == 0 && at_ > 0) return at_;
      ++depth_;
    } else if (c == '}' || c == ']') {
      if (depth_ == 0) return at_;  // what the value stands in ends
      if (--depth_ == 0) return at_ + 1;
    } else if (depth_ == 0 && (c == ',' || c == ':' || kSpace.find(c) != std::string_view::npos)) {
      return at_;
    }
  }
  return {};
}

bool begins_like_json_object(std::string_view text) noexcept {
  if (text.empty() || text[0] != '{') return false;
  const size_t key = skip_json_space(text, 1);
  if (key == std::string_view::npos) return false;
  if (text[key] == '}') return true;
  if (text[key] != '"') return false;
  const auto length = JsonExtent().end_of(text.substr(key));
  const size_t colon = length ? skip_json_space(text, key + *length) : std::string_view::npos;
  return colon != std::string_view::npos && text[colon] == ':';
}

JsonRecord read_json_record(std::string_view record, std::string_view key, const std::string& where) {
  const size_t begin = skip_json_space(record, 0), last = record.find_last_not_of(kSpace);
  if (begin == std::string_view::npos) throw_not_json(record, where);
  record = record.substr(begin, last + 1 - begin);
  if (record[0] == '{') return read_object(record, key, where);
  if (record[0] == '"') {
    const auto end = JsonExtent().end_of(record);
    auto text = end == record.size() ? read_string(record) : std::nullopt;
    if (!text) throw_not_json(record, where);
    return {.kind = JsonRecord::Kind::text, .text = std::move(*text), .keys = {}, .field = {}};
  }
  JsonRecord out;
  const json::value value = parse_json(replace_invalid_utf8(record), where);
  out.keys = {json_kind_name(value)};
  return out;
}

std::vector<JsonMember> json_members(std::string_view object) {
  std::vector<JsonMember> out;
  for (Members members(object); !members.is_last();) {
    const auto member = members.next();
    if (!member) break;
    out.push_back(*member);
  }
  return out;
}

std::string describe(const JsonRecord& record, std::string_view key) {
  const std::string name = quoted_for_message(key);
  if (record.kind == JsonRecord::Kind::other)
    return fmt::format("needed is an object with a string {}; this is {}", name, record.keys.at(0));
  if (!record.field.empty())
    return fmt::format("needed is an object with a string {}; in this one it is {}", name,
                       quoted_for_message(record.field, 40));
  if (record.keys.empty()) return fmt::format("needed is an object with a string {}; this one is empty", name);
  std::string keys;
  for (const std::string& k : record.keys) keys += (keys.empty() ? "" : ", ") + quoted_for_message(k);
  return fmt::format("needed is an object with a string {}; the keys of this one are {}{}; --text-field KEY names it",
                     name, keys, record.keys.size() == kKeptKeys ? ", ..." : "");
}

}  // namespace fathom
