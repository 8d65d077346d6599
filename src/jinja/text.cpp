#include "jinja/text.h"

#include <string.h>  // memmem

#include <algorithm>
#include <unordered_set>

#include "base/text/utf8.h"

namespace fathom::jinja {

void Text::append(std::string_view text, Origin from) {
  bytes.append(text);
  origin.append(text.size(), static_cast<char>(from));
}

void Text::append(const Text& other, size_t begin, size_t end) {
  bytes.append(other.bytes, begin, end - begin);
  origin.append(other.origin, begin, end - begin);
}

Text Text::slice(size_t begin, size_t end) const {
  Text out;
  out.markup = markup;
  out.append(*this, begin, end);
  return out;
}

bool is_space(uint32_t c) noexcept {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

size_t char_bytes(std::string_view text, size_t at) noexcept { return decode_utf8(text, at).length; }

size_t count_chars(std::string_view text) noexcept {
  size_t n = 0;
  for (size_t i = 0; i < text.size(); i += char_bytes(text, i)) ++n;
  return n;
}

size_t byte_of_char(std::string_view text, size_t index) noexcept {
  size_t i = 0;
  for (; index > 0 && i < text.size(); --index) i += char_bytes(text, i);
  return i;
}

std::vector<Text> split_chars(const Text& text) {
  std::vector<Text> out;
  for (size_t i = 0; i < text.size();) {
    const size_t n = char_bytes(text.bytes, i);
    out.push_back(text.slice(i, i + n));
    i += n;
  }
  return out;
}

size_t find_bytes(std::string_view text, std::string_view what, size_t from) noexcept {
  if (from > text.size()) return std::string_view::npos;
  if (what.empty()) return from;
  const void* hit = memmem(text.data() + from, text.size() - from, what.data(), what.size());
  if (hit == nullptr) return std::string_view::npos;
  return static_cast<size_t>(static_cast<const char*>(hit) - text.data());
}

std::vector<size_t> places_from_right(std::string_view text, std::string_view what, int64_t limit) {
  const std::string backwards(text.rbegin(), text.rend()), wanted(what.rbegin(), what.rend());
  std::vector<size_t> places;
  size_t at = find_bytes(backwards, wanted);
  while (at != std::string_view::npos && static_cast<int64_t>(places.size()) < limit) {
    places.push_back(text.size() - at - what.size());
    at = what.empty() ? std::string_view::npos : find_bytes(backwards, wanted, at + what.size());
  }
  return places;
}

size_t count_occurrences(std::string_view text, std::string_view what) noexcept {
  size_t n = 0;
  for (size_t at = find_bytes(text, what); at != std::string_view::npos; at = find_bytes(text, what, at + what.size()))
    ++n;
  return n;
}

namespace {

// The range that is left of text when the characters that `drop` names are taken off its ends.
template <class Drop>
std::pair<size_t, size_t> strip_range(std::string_view text, Side side, const Drop& drop) {
  size_t begin = 0;
  if (side != Side::right) {
    while (begin < text.size() && drop(text.substr(begin, char_bytes(text, begin)))) begin += char_bytes(text, begin);
  }
  size_t end = text.size();
  while (side != Side::left && end > begin) {
    size_t at = end - 1;  // back over at most three continuation bytes
    while (at > begin && end - at < 4 && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80) --at;
    if (at + char_bytes(text, at) != end) at = end - 1;  // no whole character: invalid bytes count one by one
    if (!drop(text.substr(at, end - at))) break;
    end = at;
  }
  return {begin, end};
}

std::pair<size_t, size_t> space_range(std::string_view text, Side side) noexcept {
  return strip_range(text, side, [](std::string_view c) { return is_space(decode_utf8(c, 0).code_point); });
}

std::vector<Text> split_at_spaces(const Text& text, int64_t limit) {
  std::vector<Text> out;
  const std::string_view bytes = text.bytes;
  size_t at = bytes.size() - strip_spaces(bytes, Side::left).size();
  while (at < bytes.size()) {
    if (limit >= 0 && static_cast<int64_t>(out.size()) == limit) {
      out.push_back(text.slice(at, text.size()));  // as in Python, white space at its end stays
      break;
    }
    size_t end = at;
    while (end < bytes.size() && !is_space(decode_utf8(bytes, end).code_point)) end += char_bytes(bytes, end);
    out.push_back(text.slice(at, end));
    for (at = end; at < bytes.size() && is_space(decode_utf8(bytes, at).code_point);) at += char_bytes(bytes, at);
  }
  return out;
}

}  // namespace

std::string_view strip_spaces(std::string_view text, Side side) noexcept {
  const auto [begin, end] = space_range(text, side);
  return text.substr(begin, end - begin);
}

Text strip(const Text& text, Side side, std::optional<std::string_view> chars) {
  if (!chars) {
    const auto [begin, end] = space_range(text.bytes, side);
    return text.slice(begin, end);
  }
  std::unordered_set<std::string_view> set;
  for (size_t i = 0; i < chars->size(); i += char_bytes(*chars, i)) set.insert(chars->substr(i, char_bytes(*chars, i)));
  const auto [begin, end] = strip_range(text.bytes, side, [&](std::string_view c) { return set.contains(c); });
  return text.slice(begin, end);
}

std::vector<Text> split(const Text& text, std::optional<std::string_view> separator, int64_t limit) {
  if (!separator) return split_at_spaces(text, limit);
  if (separator->empty()) fault("split needs a separator that is not empty");
  std::vector<Text> out;
  size_t at = 0;
  while (limit < 0 || static_cast<int64_t>(out.size()) < limit) {
    const size_t hit = find_bytes(text.bytes, *separator, at);
    if (hit == std::string_view::npos) break;
    out.push_back(text.slice(at, hit));
    at = hit + separator->size();
  }
  out.push_back(text.slice(at, text.size()));
  return out;
}

Text replace(const Text& text, std::string_view from, const Text& to, int64_t limit) {
  Text out;
  size_t at = 0;
  for (int64_t done = 0; limit < 0 || done < limit; ++done) {
    const size_t hit = find_bytes(text.bytes, from, at);
    if (hit == std::string_view::npos) break;
    out.append(text, at, hit);
    out.append(to);
    at = hit + from.size();
  }
  out.append(text, at, text.size());
  return out;
}

Text escaped(const Text& text) {
  if (text.markup) return text;
  Text out;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text.bytes[i];
    const char* name = c == '&'    ? "&amp;"
                       : c == '<'  ? "&lt;"
                       : c == '>'  ? "&gt;"
                       : c == '"'  ? "&#34;"
                       : c == '\'' ? "&#39;"
                                   : nullptr;
    if (name != nullptr)
      out.append(name, static_cast<Origin>(text.origin[i]));
    else
      out.append(text, i, i + 1);
  }
  out.markup = true;
  return out;
}

std::vector<Text> split_lines(const Text& text) {
  const auto ends_line = [](uint32_t c) {
    return (c >= 0x0A && c <= 0x0D) || (c >= 0x1C && c <= 0x1E) || c == 0x85 || c == 0x2028 || c == 0x2029;
  };
  std::vector<Text> out;
  size_t begin = 0;
  for (size_t i = 0; i < text.size();) {
    const size_t at = i;
    i += char_bytes(text.bytes, i);
    if (!ends_line(decode_utf8(text.bytes, at).code_point)) continue;
    out.push_back(text.slice(begin, at));
    if (text.bytes[at] == '\r' && i < text.size() && text.bytes[i] == '\n') ++i;
    begin = i;
  }
  if (begin < text.size()) out.push_back(text.slice(begin, text.size()));
  return out;
}

Text change_case(const Text& text, Case to) {
  Text out = text;
  bool in_word = false;
  for (size_t i = 0; i < out.size(); ++i) {
    char& c = out.bytes[i];
    if (static_cast<unsigned char>(c) >= 0x80) refuse("upper, lower, title and their like work on ASCII text only");
    const bool is_small = c >= 'a' && c <= 'z', is_capital = c >= 'A' && c <= 'Z';
    const bool up = to == Case::upper || (to == Case::capitalized && i == 0) || (to == Case::title && !in_word) ||
                    (to == Case::swapped && is_small);
    if (up && is_small) c = static_cast<char>(c - 'a' + 'A');
    if (!up && is_capital) c = static_cast<char>(c - 'A' + 'a');
    in_word = is_small || is_capital;
  }
  return out;
}

}  // namespace fathom::jinja
