// Template source -> tokens, with jinja2's white space rules as transformers sets them (trim_blocks, lstrip_blocks).
#pragma once
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace fathom::jinja {

enum class TokenKind {
  data,
  variable_begin,
  variable_end,
  block_begin,
  block_end,
  name,
  string,
  integer,
  real,
  op,
  end
};

struct Token {
  TokenKind kind = TokenKind::end;
  int line = 1;
  std::string text;  // data: text to write; name; string: its value, escapes undone; op: "==", "[", ...
  int64_t integer = 0;
  double real = 0;
};

// Always ends with a token of kind end. Comments and raw blocks are resolved here: raw text comes as data. Newlines are
// normalised to LF and one newline at the end of the source is dropped, as jinja2 does.
// Linear time. Throws Error (bad_input, "WHERE line N: ...") for what jinja2 refuses too, and `unsupported` for escapes
// and number forms that are not done (\N{...}, lone surrogates, 0x10).
std::vector<Token> tokenize(std::string_view source, const std::string& where);

}  // namespace fathom::jinja
