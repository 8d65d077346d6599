// What the first bytes of a file say that it is. Names do not count here: people's files are called anything.
#pragma once
#include <optional>
#include <string>
#include <string_view>

#include "base/error.h"

namespace fathom {

// A file that holds no text: folders may be read without it.
class NotText : public Error {
 public:
  using Error::Error;
};

// How many bytes are looked at before a file is taken for text.
constexpr size_t kJudgedBytes = size_t{1} << 20;

// What the bytes at the start of a file are, if not text, and what to do about it: "is a PNG image, not text; ...".
// Nothing when they may be text. `separator`: bytes of it are expected, even NUL.
std::optional<std::string> what_is_not_text(std::string_view head, std::string_view separator);

// How text is encoded, by its byte order mark.
enum class TextEncoding : uint8_t { utf8, utf16_le, utf16_be, utf32_le, utf32_be };
struct EncodingMark {
  TextEncoding encoding = TextEncoding::utf8;
  size_t bytes = 0;  // of the mark; 0: there is none, so UTF-8
};
EncodingMark encoding_mark(std::string_view head) noexcept;

// Appends `in` as UTF-8, and leaves in it what does not make up a whole character yet, unless it is the last. What
// stands for no character (half of a surrogate pair, numbers above U+10FFFF) becomes the byte FF, which is ill-formed
// UTF-8 as well.
void append_as_utf8(TextEncoding encoding, std::string_view& in, bool is_last, std::string& out);

}  // namespace fathom
