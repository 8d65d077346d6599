// UTF-8, strict: no overlong forms, no surrogates, nothing above U+10FFFF (RFC 3629).
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace fathom {

struct Utf8Char {
  uint32_t code_point;  // U+FFFD when not valid
  uint32_t length;  // bytes taken, >= 1; for an invalid sequence, its maximal ill-formed prefix (Unicode 15, table 3-8)
  bool valid;
};

// The character that starts at text[at]; at < text.size().
Utf8Char decode_utf8(std::string_view text, size_t at) noexcept;

// Byte offset of the first invalid sequence, or npos when all of it is valid.
size_t find_invalid_utf8(std::string_view text) noexcept;

// Appends the UTF-8 form of a code point <= U+10FFFF that is no surrogate; anything else appends U+FFFD.
void append_utf8(std::string& out, uint32_t code_point);

// How many characters begin in valid UTF-8: one that is spread over two texts counts where it begins.
int64_t characters_begun(std::string_view text) noexcept;

// How many bytes at the end of `text` are the unfinished start of a character (0 to 3).
size_t unfinished_utf8_tail(std::string_view text) noexcept;

// The text behind a byte order mark (U+FEFF, as editors on Windows write in front): a mark of the encoding, no text.
std::string_view without_byte_order_mark(std::string_view text) noexcept;

// Copy with every invalid sequence replaced by U+FFFD, as Python's errors="replace" does.
std::string replace_invalid_utf8(std::string_view text);

}  // namespace fathom
