#include "base/error.h"

#include <cstdio>
#include <cstdlib>

#include "base/text/utf8.h"

namespace fathom {

void fail_check(const char* why, const char* file, int line, const char* function) noexcept {
  std::fprintf(stderr, "fathom: internal error at %s:%d in %s: %s\nThis is a defect of fathom; please report it.\n",
               file, line, function, why);
  std::abort();
}

std::string quoted_for_message(std::string_view text, size_t max_bytes) {
  std::string out = "'";
  size_t i = 0;
  while (i < text.size() && i < max_bytes) {
    const Utf8Char c = decode_utf8(text, i);
    if (c.valid && c.code_point >= 0x20 && c.code_point != 0x7F && c.code_point != '\'') {
      out += text.substr(i, c.length);
    } else {
      for (size_t k = 0; k < c.length; ++k) out += fmt::format("\\x{:02X}", static_cast<unsigned char>(text[i + k]));
    }
    i += c.length;
  }
  out += i < text.size() ? "...'" : "'";
  return out;
}

}  // namespace fathom
