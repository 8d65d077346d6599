#include "jinja/lexer.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/text/utf8.h"
#include "jinja/text.h"

namespace fathom::jinja {
namespace {

std::string normalized_newlines(std::string_view source) {
  std::string out;
  out.reserve(source.size());
  for (size_t i = 0; i < source.size(); ++i) {
    if (source[i] == '\r' && i + 1 < source.size() && source[i + 1] == '\n') continue;
    out += source[i] == '\r' ? '\n' : source[i];
  }
  if (!out.empty() && out.back() == '\n') out.pop_back();
  return out;
}

bool starts_name(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(normalized_newlines(source)), s_(source_) {}

  std::vector<Token> run() {
    while (at_ < s_.size()) {
      const size_t tag = next_tag();
      if (tag == std::string_view::npos) {
        add_data(s_.substr(at_));
        advance(s_.size());
        break;
      }
      enter_tag(tag);
    }
    add(TokenKind::end);
    return std::move(tokens_);
  }

  int line() const { return line_; }

 private:
  Token& add(TokenKind kind, std::string_view text = {}) {
    Token& token = tokens_.emplace_back();
    token.kind = kind;
    token.line = line_;
    token.text = text;
    return token;
  }

  void add_data(std::string_view text) {
    if (!text.empty()) add(TokenKind::data, text);
  }

  bool at_text(std::string_view what) const { return s_.substr(at_).starts_with(what); }

  void advance(size_t to) {
    line_ += static_cast<int>(
        std::count(s_.begin() + static_cast<ptrdiff_t>(at_), s_.begin() + static_cast<ptrdiff_t>(to), '\n'));
    at_ = to;
  }

  void skip_spaces() { advance(s_.size() - strip_spaces(s_.substr(at_), Side::left).size()); }

  size_t next_tag() const {
    for (size_t i = s_.find('{', at_); i != std::string_view::npos && i + 1 < s_.size(); i = s_.find('{', i + 1))
      if (s_[i + 1] == '{' || s_[i + 1] == '%' || s_[i + 1] == '#') return i;
    return std::string_view::npos;
  }

  // Text before a tag: "-" takes all white space off its end; else a block or comment that stands first in its line
  // takes the blanks before it along (lstrip_blocks), unless it is marked "+".
  void add_data_before(size_t end, char sign, bool is_block) {
    std::string_view text = s_.substr(at_, end - at_);
    if (sign == '-') {
      text = strip_spaces(text, Side::right);
    } else if (sign != '+' && is_block) {
      const size_t line_start = text.rfind('\n') + 1;  // npos + 1 = 0: no newline
      if ((line_start > 0 || line_starting_) && strip_spaces(text.substr(line_start), Side::left).empty())
        text = text.substr(0, line_start);
    }
    add_data(text);
    advance(end);
  }

  char sign_at(size_t at) const { return at < s_.size() && (s_[at] == '-' || s_[at] == '+') ? s_[at] : '\0'; }

  void enter_tag(size_t tag) {
    const char kind = s_[tag + 1], sign = sign_at(tag + 2);
    add_data_before(tag, sign, kind != '{');
    const size_t inside = tag + 2 + (sign != '\0');
    if (kind == '#') return comment(inside);
    if (kind == '%' && raw_block(inside)) return;
    add(kind == '{' ? TokenKind::variable_begin : TokenKind::block_begin);
    advance(inside);
    tag_content(kind == '{' ? "}}" : "%}");
    add(kind == '{' ? TokenKind::variable_end : TokenKind::block_end);
  }

  // After the closing characters: "-" eats white space, a block or comment without sign one newline (trim_blocks).
  void after_tag(char sign, bool trims_newline) {
    if (sign == '-')
      skip_spaces();
    else if (trims_newline && sign != '+' && at_text("\n"))
      advance(at_ + 1);
    line_starting_ = at_ > 0 && s_[at_ - 1] == '\n';
  }

  void comment(size_t inside) {
    const size_t close = s_.find("#}", inside);
    if (close == std::string_view::npos) fault("a comment '{{#' is not closed by '#}}'");
    const char sign = close > inside ? sign_at(close - 1) : '\0';
    advance(close + 2);
    after_tag(sign, true);
  }

  // Is `word` next, blanks around it, then "%}" with or without a sign? Returns the position behind it and the sign.
  std::optional<std::pair<size_t, char>> word_tag(size_t at, std::string_view word, bool plus_allowed) const {
    const auto skip = [&] { at = s_.size() - strip_spaces(s_.substr(at), Side::left).size(); };
    skip();
    if (!s_.substr(at).starts_with(word)) return std::nullopt;
    at += word.size();
    skip();
    const char sign = sign_at(at);
    if (sign == '+' && !plus_allowed) return std::nullopt;
    at += sign != '\0';
    if (!s_.substr(at).starts_with("%}")) return std::nullopt;
    return std::pair(at + 2, sign);
  }

  bool raw_block(size_t inside) {
    const auto begin = word_tag(inside, "raw", false);
    if (!begin) return false;
    advance(begin->first);
    after_tag(begin->second, false);
    for (size_t tag = s_.find("{%", at_); tag != std::string_view::npos; tag = s_.find("{%", tag + 2)) {
      const char sign = sign_at(tag + 2);
      const auto end = word_tag(tag + 2 + (sign != '\0'), "endraw", true);
      if (!end) continue;
      add_data_before(tag, sign, true);
      advance(end->first);
      after_tag(end->second, true);
      return true;
    }
    fault("a raw block is not closed by endraw");
  }

  // Up to the closing "}}" or "%}", which counts only outside of brackets.
  void tag_content(std::string_view close) {
    const bool is_block = close == "%}";
    std::string open;  // the closing brackets that are due
    while (true) {
      skip_spaces();
      if (at_ == s_.size()) fault("the template ends inside a tag; '{}' is missing", close);
      if (open.empty()) {
        const char sign = sign_at(at_);
        if (s_.substr(at_ + (sign != '\0')).starts_with(close) && (is_block || sign != '+')) {
          advance(at_ + (sign != '\0') + close.size());
          return after_tag(sign, is_block);
        }
      }
      const char c = s_[at_];
      if (is_digit(c))
        number();
      else if (starts_name(c))
        name();
      else if (c == '\'' || c == '"')
        string_literal(c);
      else
        operator_token(open);
    }
  }

  void name() {
    size_t end = at_;
    while (end < s_.size() && (starts_name(s_[end]) || is_digit(s_[end]))) ++end;
    add(TokenKind::name, s_.substr(at_, end - at_));
    advance(end);
  }

  // Digits with single underscores between them, appended to `digits`; returns the position behind them.
  size_t digit_run(size_t at, std::string& digits) const {
    while (at < s_.size() && (is_digit(s_[at]) || (s_[at] == '_' && at + 1 < s_.size() && is_digit(s_[at + 1])))) {
      if (s_[at] != '_') digits += s_[at];
      ++at;
    }
    return at;
  }

  void number() {
    std::string digits;
    size_t end = digit_run(at_, digits);
    bool is_real = false;
    const bool after_dot = at_ > 0 && s_[at_ - 1] == '.';  // foo.0.1: two integers
    if (!after_dot && end + 1 < s_.size() && s_[end] == '.' && is_digit(s_[end + 1])) {
      digits += '.';
      end = digit_run(end + 1, digits);
      is_real = true;
    }
    if (!after_dot && end < s_.size() && (s_[end] == 'e' || s_[end] == 'E')) {
      const bool sign = end + 1 < s_.size() && (s_[end + 1] == '+' || s_[end + 1] == '-');
      if (end + 1 + sign < s_.size() && is_digit(s_[end + 1 + sign])) {
        digits += 'e';
        if (sign) digits += s_[end + 1];
        end = digit_run(end + 1 + sign, digits);
        is_real = true;
      }
    }
    if (end < s_.size() && starts_name(s_[end]))
      refuse("the number form {}", quoted_for_message(s_.substr(at_, end + 1 - at_)));
    add_number(digits, is_real);
    advance(end);
  }

  void add_number(const std::string& digits, bool is_real) {
    Token& token = add(is_real ? TokenKind::real : TokenKind::integer);
    const char* end = digits.data() + digits.size();
    const std::errc error = is_real ? std::from_chars(digits.data(), end, token.real).ec
                                    : std::from_chars(digits.data(), end, token.integer).ec;
    if (error != std::errc()) refuse("the number {} is out of range", quoted_for_message(digits));
    if (!is_real && digits.size() > 1 && digits[0] == '0' && token.integer != 0)
      fault("the number {} starts with 0", quoted_for_message(digits));
  }

  void operator_token(std::string& open) {
    static constexpr std::array<std::string_view, 27> kOperators = {"//", "**", "==", "!=", ">=", "<=", "+", "-", "/",
                                                                    "*",  "%",  "~",  "[",  "]",  "(",  ")", "{", "}",
                                                                    ">",  "<",  "=",  ".",  ":",  "|",  ",", ";", ""};
    const auto op = *std::find_if(kOperators.begin(), kOperators.end(), [&](std::string_view o) { return at_text(o); });
    if (op.empty()) fault("unexpected character {}", quoted_for_message(s_.substr(at_, char_bytes(s_, at_))));
    if (op == "[") open += ']';
    if (op == "(") open += ')';
    if (op == "{") open += '}';
    if (op == "]" || op == ")" || op == "}") {
      if (open.empty() || open.back() != op[0]) fault("unexpected '{}'", op);
      open.pop_back();
    }
    add(TokenKind::op, op);
    advance(at_ + op.size());
  }

  void string_literal(char quote) {
    size_t i = at_ + 1;
    std::string value;
    while (i < s_.size() && s_[i] != quote) {
      if (s_[i] == '\\')
        i = escape(i + 1, value);
      else
        value += s_[i++];
    }
    if (i >= s_.size()) fault("a string is not closed by {}", quote);
    add(TokenKind::string, value);
    advance(i + 1);
  }

  // The escape whose character behind the backslash is s_[i]; returns the position behind it. As in Python, an escape
  // that has no meaning stands for itself, backslash included.
  size_t escape(size_t i, std::string& value) const {
    if (i >= s_.size()) fault("a string ends behind a backslash");
    static constexpr std::string_view kNames = "\\'\"abfnrtv", kValues = "\\'\"\a\b\f\n\r\t\v";
    const char c = s_[i];
    if (const size_t known = kNames.find(c); known != std::string_view::npos) {
      value += kValues[known];
    } else if (c == 'x' || c == 'u' || c == 'U') {
      return hex_escape(i + 1, c == 'x' ? 2 : c == 'u' ? 4 : 8, value);
    } else if (c >= '0' && c <= '7') {
      uint32_t code = 0;
      size_t end = i;
      for (; end < s_.size() && end < i + 3 && s_[end] >= '0' && s_[end] <= '7'; ++end)
        code = code * 8 + static_cast<uint32_t>(s_[end] - '0');
      append_utf8(value, code);
      return end;
    } else if (c == 'N' || static_cast<unsigned char>(c) >= 0x80) {
      refuse("the escape {} in a string", quoted_for_message(s_.substr(i - 1, 1 + char_bytes(s_, i))));
    } else if (c != '\n') {
      value += '\\';
      value += c;
    }
    return i + 1;
  }

  size_t hex_escape(size_t i, size_t n, std::string& value) const {
    uint32_t code = 0;
    const char* begin = s_.data() + i;
    if (i + n > s_.size() || std::from_chars(begin, begin + n, code, 16).ptr != begin + n)
      fault("an escape in a string needs {} hexadecimal digits", n);
    if ((code >= 0xD800 && code <= 0xDFFF) || code > 0x10FFFF)
      refuse("U+{:04X} in a string, which is no character", code);
    append_utf8(value, code);
    return i + n;
  }

  std::string source_;
  std::string_view s_;
  size_t at_ = 0;
  int line_ = 1;
  bool line_starting_ = true;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokenize(std::string_view source, const std::string& where) {
  Lexer lexer(source);
  try {
    return lexer.run();
  } catch (const Fault& f) {
    throw Error(f.kind(),
                fmt::format("{} line {}: {}{}", where, lexer.line(),
                            f.kind() == ErrorKind::unsupported ? "not supported in chat templates: " : "", f.what()));
  }
}

}  // namespace fathom::jinja
