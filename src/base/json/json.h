// Reading and writing JSON, with the checks that a file from outside needs (Boost.JSON does the parsing).
#pragma once
#include <boost/json.hpp>

#include <string>
#include <string_view>

namespace fathom {

namespace json = boost::json;

struct JsonLimits {
  size_t max_depth = 32;
};

// One document. Refused with a bad_input Error that names `where` and the byte: syntax errors, trailing text, invalid
// UTF-8, NaN/Infinity, nesting beyond the limit, a key that occurs twice in one object, and what is no JSON file at all
// (foreign.h: a git-lfs pointer, UTF-16, ...) by its name. A byte order mark in front says how text is encoded and is
// passed over; bytes are counted behind it. Time is linear, stack use constant.
json::value parse_json(std::string_view text, const std::string& where, const JsonLimits& limits = {});

// Indented by two spaces, keys in insertion order, one final newline: what transformers writes.
std::string to_pretty_json(const json::value& value);

// A name for messages: "a string", "an object", "null", ...
const char* json_kind_name(const json::value& value);

}  // namespace fathom
