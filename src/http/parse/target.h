// The target of a request: its path and query, percent-decoded (RFC 3986; the query as HTML forms write it).
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fathom::http {

struct Target {
  std::string path;                   // decoded, begins with '/'
  std::vector<std::string> segments;  // what stands between the slashes *as sent*, decoded: %2F is part of a segment
  std::vector<std::pair<std::string, std::string>> query;
  std::string authority;  // of an absolute target, "http://host:port/path"; empty otherwise
};

// Null for what is refused: a target that neither begins with '/' nor is an absolute http(s) address; bytes outside
// printable ASCII; a '%' without two hex digits; what decodes to control characters or to invalid UTF-8; a segment "."
// or "..", however written; a fragment. Time is linear.
std::optional<Target> split_target(std::string_view target);

// Null when a '%' is not followed by two hex digits.
std::optional<std::string> percent_decoded(std::string_view text, bool plus_is_space);

}  // namespace fathom::http
