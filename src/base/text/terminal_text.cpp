#include "base/text/terminal_text.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

#include "base/text/utf8.h"

namespace fathom {
namespace {

void append_shown(std::string& out, std::string_view bytes, const Utf8Char& c) {
  const uint32_t code = c.code_point;
  if (code == '\n' || code == '\t' || (code >= 0x20 && code < 0x7F) || (code >= 0xA0 && c.valid))
    out += bytes;
  else if (code < 0x80)
    out += {'^', static_cast<char>(code ^ 0x40)};
  else if (code < 0xA0)
    out += fmt::format("<{:02X}>", code);
  else
    append_utf8(out, 0xFFFD);
}

std::string shown(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t i = 0; i < text.size();) {
    const Utf8Char c = decode_utf8(text, i);
    append_shown(out, text.substr(i, c.length), c);
    i += c.length;
  }
  return out;
}

ssize_t write_shown(void* state, const char* bytes, size_t n) {
  const std::string text = static_cast<TerminalText*>(state)->push({bytes, n});
  for (size_t done = 0; done < text.size();) {
    const ssize_t written = ::write(STDOUT_FILENO, text.data() + done, text.size() - done);
    if (written >= 0)
      done += static_cast<size_t>(written);
    else if (errno != EINTR)
      return 0;
  }
  return static_cast<ssize_t>(n);
}

}  // namespace

std::string TerminalText::push(std::string_view piece) {
  held_ += piece;
  const size_t whole = held_.size() - unfinished_utf8_tail(held_);
  std::string out = shown(std::string_view(held_).substr(0, whole));
  held_.erase(0, whole);
  return out;
}

std::string TerminalText::flush() {
  std::string out = shown(held_);
  held_.clear();
  return out;
}

std::string for_terminal(std::string_view text) { return shown(text); }

std::string shown_on(int descriptor, std::string_view text) {
  return isatty(descriptor) != 0 ? shown(text) : std::string(text);
}

void make_stdout_show_controls() {
  if (isatty(STDOUT_FILENO) == 0) return;
  static TerminalText state;  // as long as the stream, which is as long as the process
  cookie_io_functions_t functions = {};
  functions.write = write_shown;
  std::FILE* stream = fopencookie(&state, "w", functions);
  if (stream == nullptr) return;
  std::setvbuf(stream, nullptr, _IOLBF, BUFSIZ);
  stdout = stream;
}

}  // namespace fathom
