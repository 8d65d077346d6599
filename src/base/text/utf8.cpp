#include "base/text/utf8.h"

#include <algorithm>

namespace fathom {
namespace {

// Length that the lead byte announces, and the range that the second byte must lie in (it excludes overlong forms,
// surrogates and values above U+10FFFF). Length 0: not a lead byte.
struct Lead {
  uint32_t length;
  uint8_t second_low, second_high;
};

Lead lead_of(uint8_t b) noexcept {
  if (b < 0x80) return {1, 0, 0};
  if (b >= 0xC2 && b <= 0xDF) return {2, 0x80, 0xBF};
  if (b == 0xE0) return {3, 0xA0, 0xBF};
  if (b == 0xED) return {3, 0x80, 0x9F};
  if (b >= 0xE1 && b <= 0xEF) return {3, 0x80, 0xBF};
  if (b == 0xF0) return {4, 0x90, 0xBF};
  if (b >= 0xF1 && b <= 0xF3) return {4, 0x80, 0xBF};
  if (b == 0xF4) return {4, 0x80, 0x8F};
  return {0, 0, 0};
}

// Well-formed bytes from text[at] on, at most the announced length.
uint32_t well_formed_prefix(std::string_view text, size_t at, const Lead& lead) noexcept {
  uint32_t n = 1;
  while (n < lead.length && at + n < text.size()) {
    const auto b = static_cast<uint8_t>(text[at + n]);
    const uint8_t low = n == 1 ? lead.second_low : 0x80, high = n == 1 ? lead.second_high : 0xBF;
    if (b < low || b > high) break;
    ++n;
  }
  return n;
}

}  // namespace

Utf8Char decode_utf8(std::string_view text, size_t at) noexcept {
  const auto b = static_cast<uint8_t>(text[at]);
  const Lead lead = lead_of(b);
  if (lead.length == 1) return {b, 1, true};
  if (lead.length == 0) return {0xFFFD, 1, false};
  const uint32_t n = well_formed_prefix(text, at, lead);
  if (n < lead.length) return {0xFFFD, n, false};
  uint32_t code_point = b & (0x7Fu >> lead.length);
  for (uint32_t k = 1; k < n; ++k) code_point = code_point << 6 | (static_cast<uint8_t>(text[at + k]) & 0x3Fu);
  return {code_point, n, true};
}

size_t find_invalid_utf8(std::string_view text) noexcept {
  for (size_t i = 0; i < text.size();) {
    const Utf8Char c = decode_utf8(text, i);
    if (!c.valid) return i;
    i += c.length;
  }
  return std::string_view::npos;
}

void append_utf8(std::string& out, uint32_t c) {
  if (c > 0x10FFFF || (c >= 0xD800 && c <= 0xDFFF)) c = 0xFFFD;
  if (c < 0x80) {
    out += static_cast<char>(c);
  } else if (c < 0x800) {
    out += static_cast<char>(0xC0 | c >> 6);
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else if (c < 0x10000) {
    out += static_cast<char>(0xE0 | c >> 12);
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  } else {
    out += static_cast<char>(0xF0 | c >> 18);
    out += static_cast<char>(0x80 | (c >> 12 & 0x3F));
    out += static_cast<char>(0x80 | (c >> 6 & 0x3F));
    out += static_cast<char>(0x80 | (c & 0x3F));
  }
}

int64_t characters_begun(std::string_view text) noexcept {
  return std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

size_t unfinished_utf8_tail(std::string_view text) noexcept {
  for (size_t back = 1; back <= 3 && back <= text.size(); ++back) {
    const size_t at = text.size() - back;
    const Lead lead = lead_of(static_cast<uint8_t>(text[at]));
    if (lead.length == 0) continue;  // a continuation byte, or no character at all
    return lead.length > back && well_formed_prefix(text, at, lead) == back ? back : 0;
  }
  return 0;
}

std::string_view without_byte_order_mark(std::string_view text) noexcept {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  return text;
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const Utf8Char c = decode_utf8(text, i);
    if (c.valid) {
      out += text.substr(i, c.length);
    } else {
      append_utf8(out, 0xFFFD);
    }
    i += c.length;
  }
  return out;
}

}  // namespace fathom
