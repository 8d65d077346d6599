#include "http/parse/target.h"

#include <algorithm>

#include "base/text/suggest.h"
#include "base/text/utf8.h"

namespace fathom::http {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7F; }

// Decoded text that may go on: valid UTF-8 and, where asked, without control characters.
std::optional<std::string> decoded_text(std::string_view text, bool plus_is_space, bool controls) {
  auto decoded = percent_decoded(text, plus_is_space);
  if (!decoded || find_invalid_utf8(*decoded) != std::string_view::npos) return std::nullopt;
  if (!controls && std::any_of(decoded->begin(), decoded->end(), is_control)) return std::nullopt;
  return decoded;
}

// Takes "http://authority" off an absolute target; false when it is neither absolute nor a path.
bool take_authority(std::string_view& target, std::string& authority) {
  if (target.starts_with('/')) return true;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (!equal_in_any_case(target.substr(0, scheme.size()), scheme)) continue;
    target.remove_prefix(scheme.size());
    const size_t end = std::min(target.find_first_of("/?"), target.size());
    authority = target.substr(0, end);
    target.remove_prefix(end);
    return !authority.empty();
  }
  return false;
}

bool read_path(std::string_view path, Target& out) {
  if (path.empty()) path = "/";  // of an absolute target without one
  for (size_t at = 1; at <= path.size();) {
    const size_t slash = std::min(path.find('/', at), path.size());
    const auto segment = decoded_text(path.substr(at, slash - at), false, false);
    if (!segment || *segment == "." || *segment == "..") return false;
    out.path += '/' + *segment;
    out.segments.push_back(*segment);
    at = slash + 1;
  }
  // A slash that came in as %2F must not make a way up either.
  return (out.path + '/').find("/../") == std::string::npos && (out.path + '/').find("/./") == std::string::npos;
}

bool read_query(std::string_view query, Target& out) {
  for (size_t at = 0; at < query.size();) {
    const size_t end = std::min(query.find('&', at), query.size());
    const std::string_view pair = query.substr(at, end - at);
    at = end + 1;
    if (pair.empty()) continue;
    const size_t equals = std::min(pair.find('='), pair.size());
    const auto name = decoded_text(pair.substr(0, equals), true, true);
    const auto value = decoded_text(pair.substr(std::min(equals + 1, pair.size())), true, true);
    if (!name || !value) return false;
    out.query.emplace_back(*name, *value);
  }
  return true;
}

}  // namespace

std::optional<std::string> percent_decoded(std::string_view text, bool plus_is_space) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_space) {
      out += ' ';
    } else if (text[i] == '%') {
      const bool whole = i + 2 < text.size();
      const int high = whole ? hex_digit(text[i + 1]) : -1, low = whole ? hex_digit(text[i + 2]) : -1;
      if (high < 0 || low < 0) return std::nullopt;
      out += static_cast<char>(high * 16 + low);
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::optional<Target> split_target(std::string_view target) {
  const auto printable = [](char c) { return c > 0x20 && c < 0x7F && c != '#'; };
  if (!std::all_of(target.begin(), target.end(), printable)) return std::nullopt;
  Target out;
  if (!take_authority(target, out.authority)) return std::nullopt;
  const size_t mark = std::min(target.find('?'), target.size());
  if (!read_path(target.substr(0, mark), out)) return std::nullopt;
  if (!read_query(target.substr(std::min(mark + 1, target.size())), out)) return std::nullopt;
  return out;
}

}  // namespace fathom::http
