// Strings of the template interpreter: bytes that remember where each of them came from.
//
// A chat template mixes its own text ("<|User|>") with what a person typed. Only the first may be read as special
// tokens, so every byte carries its origin through concatenation, slicing, trimming, splitting and replacing. The other
// way, wrapping what was typed in sentinels and looking for them afterwards, breaks as soon as a template looks at the
// text: trim, split, length, ==, "in" and startswith would all see the sentinels.
//
// The functions follow Python's str methods: positions are counted in characters (code points), white space is
// Unicode's.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace fathom::jinja {

inline bool is_digit(char c) { return c >= '0' && c <= '9'; }  // of ASCII

// What went wrong while a template was read or run, still without its place; the interpreter adds "WHERE line N" and
// throws Error.
class Fault : public std::runtime_error {
 public:
  Fault(ErrorKind kind, const std::string& message) : std::runtime_error(message), kind_(kind) {}
  ErrorKind kind() const noexcept { return kind_; }

 private:
  ErrorKind kind_;
};
template <class... Args>
[[noreturn]] void fault(fmt::format_string<Args...> format, Args&&... args) {
  throw Fault(ErrorKind::bad_input, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
[[noreturn]] void refuse(fmt::format_string<Args...> format, Args&&... args) {
  throw Fault(ErrorKind::unsupported, fmt::format(format, std::forward<Args>(args)...));
}

enum class Origin : char { trusted, untrusted };

struct Text {
  std::string bytes;
  std::string origin;   // an Origin for each byte
  bool markup = false;  // went through the filter safe or escape: '+' escapes what is put beside it

  Text() = default;
  explicit Text(std::string_view text, Origin from = Origin::trusted)
      : bytes(text), origin(text.size(), static_cast<char>(from)) {}

  size_t size() const noexcept { return bytes.size(); }
  bool empty() const noexcept { return bytes.empty(); }
  void append(std::string_view text, Origin from = Origin::trusted);
  void append(const Text& other) { append(other, 0, other.size()); }
  void append(const Text& other, size_t begin, size_t end);  // bytes [begin, end) of other
  Text slice(size_t begin, size_t end) const;                // bytes [begin, end)
};

bool is_space(uint32_t code_point) noexcept;                   // Python: str.isspace()
size_t char_bytes(std::string_view text, size_t at) noexcept;  // bytes of the character at text[at]
size_t count_chars(std::string_view text) noexcept;
size_t byte_of_char(std::string_view text, size_t index) noexcept;  // its byte offset, or text.size() past the end
std::vector<Text> split_chars(const Text& text);

// First occurrence of what in text at or after from, or npos. Linear time for any input (memmem).
size_t find_bytes(std::string_view text, std::string_view what, size_t from = 0) noexcept;
// Where what starts, from the right and without overlaps, at most limit places. Linear time too.
std::vector<size_t> places_from_right(std::string_view text, std::string_view what, int64_t limit);
size_t count_occurrences(std::string_view text, std::string_view what) noexcept;  // what not empty; without overlaps

enum class Side { left, right, both };
// chars absent: white space.
Text strip(const Text& text, Side side, std::optional<std::string_view> chars = std::nullopt);
std::string_view strip_spaces(std::string_view text, Side side) noexcept;
// separator absent: runs of white space, and no empty parts. limit < 0: no limit. Fault for an empty separator.
std::vector<Text> split(const Text& text, std::optional<std::string_view> separator, int64_t limit);
// from must not be empty; at most limit replacements (limit < 0: all).
Text replace(const Text& text, std::string_view from, const Text& to, int64_t limit);

// '&', '<', '>' and quotes as HTML writes them; the result is markup.
Text escaped(const Text& text);
// Python's str.splitlines(): its line ends are more than '\n'.
std::vector<Text> split_lines(const Text& text);

// title: every run of letters begins with a capital, as str.title() has it.
enum class Case { upper, lower, capitalized, title, swapped };
// ASCII only: a text with other characters is refused, since their case rules are not built in.
Text change_case(const Text& text, Case to);

}  // namespace fathom::jinja
