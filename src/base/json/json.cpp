#include "base/json/json.h"

#include <boost/json/basic_parser_impl.hpp>
#include <cmath>
#include <unordered_set>
#include <vector>

#include "base/error.h"
#include "base/file/foreign.h"
#include "base/text/utf8.h"

namespace fathom {
namespace {

// Feeds Boost's value builder, and watches for keys that occur twice: JSON leaves their meaning open, and two readers
// of one file must not see two different values. Member names are those that boost::json::basic_parser calls.
struct CheckingHandler {
  static constexpr size_t max_object_size = size_t{1} << 31;
  static constexpr size_t max_array_size = size_t{1} << 31;
  static constexpr size_t max_key_size = size_t{1} << 31;
  static constexpr size_t max_string_size = size_t{1} << 31;

  json::value_stack values;
  std::vector<std::unordered_set<std::string>> keys;
  std::string key_so_far;
  std::string duplicate_key;
  bool duplicate = false;

  bool on_document_begin(json::error_code&) {
    values.reset();
    return true;
  }
  bool on_document_end(json::error_code&) { return true; }
  bool on_object_begin(json::error_code&) {
    keys.emplace_back();
    return true;
  }
  bool on_object_end(size_t n, json::error_code&) {
    keys.pop_back();
    values.push_object(n);
    return true;
  }
  bool on_array_begin(json::error_code&) { return true; }
  bool on_array_end(size_t n, json::error_code&) {
    values.push_array(n);
    return true;
  }
  bool on_key_part(json::string_view s, size_t, json::error_code&) {
    key_so_far.append(s.data(), s.size());
    values.push_chars(s);
    return true;
  }
  bool on_key(json::string_view s, size_t, json::error_code& ec) {
    key_so_far.append(s.data(), s.size());
    values.push_key(s);
    if (!keys.back().insert(key_so_far).second) {
      duplicate_key = key_so_far;
      duplicate = true;
      ec = json::make_error_code(json::error::syntax);
      return false;
    }
    key_so_far.clear();
    return true;
  }
  bool on_string_part(json::string_view s, size_t, json::error_code&) {
    values.push_chars(s);
    return true;
  }
  bool on_string(json::string_view s, size_t, json::error_code&) {
    values.push_string(s);
    return true;
  }
  bool on_number_part(json::string_view, json::error_code&) { return true; }
  bool on_int64(int64_t i, json::string_view, json::error_code&) {
    values.push_int64(i);
    return true;
  }
  bool on_uint64(uint64_t u, json::string_view, json::error_code&) {
    values.push_uint64(u);
    return true;
  }
  bool on_double(double d, json::string_view, json::error_code&) {
    values.push_double(d);
    return true;
  }
  bool on_bool(bool b, json::error_code&) {
    values.push_bool(b);
    return true;
  }
  bool on_null(json::error_code&) {
    values.push_null();
    return true;
  }
  bool on_comment_part(json::string_view, json::error_code&) { return true; }
  bool on_comment(json::string_view, json::error_code&) { return true; }
};

void write_pretty(std::string& out, const json::value& v, int depth) {
  const auto newline = [&](int d) {
    out += '\n';
    out.append(2 * static_cast<size_t>(d), ' ');
  };
  if (const json::object* object = v.if_object(); object != nullptr && !object->empty()) {
    out += '{';
    bool first = true;
    for (const auto& [key, value] : *object) {
      if (!first) out += ',';
      first = false;
      newline(depth + 1);
      out += json::serialize(json::value(key));
      out += ": ";
      write_pretty(out, value, depth + 1);
    }
    newline(depth);
    out += '}';
  } else if (const json::array* array = v.if_array(); array != nullptr && !array->empty()) {
    out += '[';
    bool first = true;
    for (const json::value& value : *array) {
      if (!first) out += ',';
      first = false;
      newline(depth + 1);
      write_pretty(out, value, depth + 1);
    }
    newline(depth);
    out += ']';
  } else if (const double* number = v.if_double()) {
    // The shortest digits that read back as the same double; a ".0" keeps it a float for readers that care. JSON has no
    // NaN and no infinity.
    std::string digits = std::isfinite(*number) ? fmt::format("{}", *number) : "null";
    if (std::isfinite(*number) && digits.find_first_of(".eE") == std::string::npos) digits += ".0";
    out += digits;
  } else {
    out += json::serialize(v);
  }
}

}  // namespace

json::value parse_json(std::string_view text, const std::string& where, const JsonLimits& limits) {
  text = without_byte_order_mark(text);
  if (const auto mishap = recognise_mishap(std::as_bytes(std::span(text)))) throw_bad_input("{}: {}", where, *mishap);
  if (const size_t bad = find_invalid_utf8(text); bad != std::string_view::npos)
    throw_bad_input("{}: byte {} is not valid UTF-8; JSON must be UTF-8", where, bad);
  json::parse_options options;
  options.max_depth = limits.max_depth;
  json::basic_parser<CheckingHandler> parser(options);
  json::error_code ec;
  const size_t used = parser.write_some(false, text.data(), text.size(), ec);
  CheckingHandler& handler = parser.handler();
  if (handler.duplicate)
    throw_bad_input("{}: near byte {}: the key {} occurs twice in one object", where, used,
                    quoted_for_message(handler.duplicate_key));
  if (ec == json::error::too_deep)
    throw_bad_input("{}: near byte {}: nested more than {} deep", where, used, limits.max_depth);
  if (ec == json::error::incomplete || (!ec && !parser.done()))
    throw_bad_input("{}: the JSON text ends too early, after {} bytes; is the file truncated?", where, text.size());
  if (ec) throw_bad_input("{}: not valid JSON at byte {}: {}", where, used, ec.message());
  for (size_t i = used; i < text.size(); ++i)
    if (text[i] != ' ' && text[i] != '\n' && text[i] != '\r' && text[i] != '\t')
      throw_bad_input("{}: unexpected text after the JSON value, at byte {}", where, i);
  return handler.values.release();
}

std::string to_pretty_json(const json::value& value) {
  std::string out;
  write_pretty(out, value, 0);
  out += '\n';
  return out;
}

const char* json_kind_name(const json::value& value) {
  switch (value.kind()) {
    case json::kind::null:
      return "null";
    case json::kind::bool_:
      return "a boolean";
    case json::kind::int64:
    case json::kind::uint64:
      return "an integer";
    case json::kind::double_:
      return "a number with a fraction";
    case json::kind::string:
      return "a string";
    case json::kind::array:
      return "an array";
    case json::kind::object:
      return "an object";
  }
  return "?";
}

}  // namespace fathom
