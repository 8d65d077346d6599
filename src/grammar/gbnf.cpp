#include "grammar/gbnf.h"

#include <map>
#include <optional>

#include "base/error.h"
#include "base/text/utf8.h"
#include "grammar/limits.h"

namespace fathom::grammar {
namespace {

bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}
bool is_digit(char c) { return c >= '0' && c <= '9'; }
int hex_value(char c) {
  if (is_digit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

class GbnfParser {
 public:
  GbnfParser(std::string_view text, Expressions& out) : text_(text), out_(out) {}

  RuleId run() {
    if (const size_t bad = find_invalid_utf8(text_); bad != std::string_view::npos) fail(bad, "the text is not UTF-8");
    for (skip(true); at_ < text_.size(); skip(true)) parse_rule();
    for (const auto& [name, rule] : rules_)
      if (!rule.defined)
        fail(rule.first_seen, fmt::format("rule {} is used but not defined", quoted_for_message(name)));
    const auto root = rules_.find("root");
    if (root == rules_.end()) throw_bad_input("GBNF: there is no rule 'root', with which the text begins");
    return root->second.id;
  }

 private:
  struct RuleInfo {
    RuleId id;
    bool defined;
    size_t first_seen;
  };
  struct Group {  // one that is open, the body of the rule first
    size_t begin;
    std::vector<Expr> choices, parts;
  };

  [[noreturn]] void fail(size_t at, const std::string& what) const {
    const std::string_view before = text_.substr(0, at);
    const auto line = 1 + std::count(before.begin(), before.end(), '\n');
    const size_t line_begin = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
    throw_bad_input("GBNF, line {}, column {}: {}", line, at - line_begin + 1, what);
  }
  [[noreturn]] void fail_here(const std::string& what) const { fail(at_, what + "; found " + found()); }
  std::string found() const {
    return at_ < text_.size() ? quoted_for_message(text_.substr(at_, 20)) : "the end of the text";
  }

  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool take(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  void skip(bool lines) {
    for (; at_ < text_.size(); ++at_) {
      const char c = text_[at_];
      if (c == '#')
        while (at_ + 1 < text_.size() && text_[at_ + 1] != '\n' && text_[at_ + 1] != '\r') ++at_;
      else if (c != ' ' && c != '\t' && !(lines && (c == '\n' || c == '\r')))
        return;
    }
  }

  std::string parse_name() {
    const size_t begin = at_;
    while (at_ < text_.size() && is_name_char(text_[at_])) ++at_;
    if (at_ == begin) fail_here("expected the name of a rule (letters, digits, '-', '_')");
    return std::string(text_.substr(begin, at_ - begin));
  }

  RuleInfo& rule_of(const std::string& name, size_t seen) {
    const auto known = rules_.find(name);
    if (known != rules_.end()) return known->second;
    return rules_.emplace(name, RuleInfo{out_.add_rule(name), false, seen}).first->second;
  }

  void parse_rule() {
    const size_t begin = at_;
    const std::string name = parse_name();
    skip(false);
    if (text_.substr(at_, 3) != "::=") fail_here("expected '::=' after the name of a rule");
    at_ += 3;
    RuleInfo& rule = rule_of(name, begin);
    if (rule.defined) fail(begin, fmt::format("rule {} is defined twice", quoted_for_message(name)));
    rule.defined = true;
    const RuleId id = rule.id;
    out_.define(id, parse_body());
  }

  Expr parse_body() {
    groups_.assign(1, Group{at_, {}, {}});
    bool lines = true;  // whether what is next may stand on another line
    while (true) {
      skip(lines || groups_.size() > 1);
      lines = false;
      const char c = peek();
      if (at_ >= text_.size() || ((c == '\n' || c == '\r') && !goes_on_below())) break;
      if (take('|')) {
        end_choice();
        lines = true;
      } else if (c == '(') {
        open_group();
      } else if (c == ')') {
        close_group();
      } else if (c == '*' || c == '+' || c == '?' || c == '{') {
        repeat_last();
      } else {
        groups_.back().parts.push_back(parse_item());
      }
    }
    if (groups_.size() > 1) fail(groups_.back().begin, "'(' is not closed");
    end_choice();
    return out_.alternatives(std::move(groups_.back().choices));
  }

  // A line that begins with '|' belongs to the rule above it.
  bool goes_on_below() {
    const size_t here = at_;
    skip(true);
    if (peek() == '|') return true;
    at_ = here;
    return false;
  }

  void end_choice() {
    Group& group = groups_.back();
    group.choices.push_back(out_.sequence(std::move(group.parts)));
    group.parts.clear();
  }

  void open_group() {
    if (groups_.size() > kMaxNesting) fail(at_, fmt::format("groups are nested more than {} deep", kMaxNesting));
    groups_.push_back({at_++, {}, {}});
  }

  void close_group() {
    if (groups_.size() == 1) fail(at_, "')' without '('");
    ++at_;
    end_choice();
    const Expr whole = out_.alternatives(std::move(groups_.back().choices));
    groups_.pop_back();
    groups_.back().parts.push_back(whole);
  }

  Expr parse_item() {
    const size_t begin = at_;
    if (is_name_char(peek())) return out_.call(rule_of(parse_name(), begin).id);
    if (take('.')) return out_.chars(CharSet::all());
    if (take('"')) return parse_literal(begin);
    if (take('[')) return parse_class(begin);
    if (peek() == '<' || peek() == '!') fail(at_, "references to tokens (<...>) are not supported; write their text");
    fail_here("expected a literal, a class, a group, '.' or the name of a rule");
  }

  Expr parse_literal(size_t begin) {
    std::string bytes;
    while (!take('"')) {
      if (at_ >= text_.size()) fail(begin, "the literal is not closed");
      append_utf8(bytes, parse_char());
    }
    return out_.literal(std::move(bytes));
  }

  Expr parse_class(size_t begin) {
    const bool inverted = take('^');
    std::vector<CodeRange> ranges;
    while (!take(']')) {
      if (at_ >= text_.size()) fail(begin, "the class is not closed");
      const size_t at = at_;
      const uint32_t first = parse_char();
      uint32_t last = first;
      if (peek() == '-' && at_ + 1 < text_.size() && text_[at_ + 1] != ']') {
        ++at_;
        last = parse_char();
      }
      if (last < first) fail(at, "the range of characters ends before it begins");
      ranges.push_back({first, last});
    }
    const CharSet set(std::move(ranges));
    return out_.chars(inverted ? set.inverted() : set);
  }

  uint32_t parse_char() {
    if (peek() != '\\') {
      const Utf8Char c = decode_utf8(text_, at_);
      at_ += c.length;
      return c.code_point;
    }
    const size_t begin = at_++;
    const char c = peek();
    ++at_;
    switch (c) {
      case 'n':
        return '\n';
      case 'r':
        return '\r';
      case 't':
        return '\t';
      case '\\':
      case '"':
      case '[':
      case ']':
      case '-':
      case '^':
        return static_cast<uint32_t>(c);
      case 'x':
        return parse_hex(begin, 2);
      case 'u':
        return parse_hex(begin, 4);
      case 'U':
        return parse_hex(begin, 8);
      default:
        break;
    }
    fail(begin, "unknown escape; there are \\n \\r \\t \\\\ \\\" \\[ \\] \\- \\^ \\xHH \\uHHHH \\UHHHHHHHH");
  }

  uint32_t parse_hex(size_t begin, int digits) {
    uint32_t value = 0;
    for (int i = 0; i < digits; ++i, ++at_) {
      const int digit = at_ < text_.size() ? hex_value(text_[at_]) : -1;
      if (digit < 0) fail(begin, fmt::format("the escape needs {} hexadecimal digits", digits));
      value = value * 16 + static_cast<uint32_t>(digit);
    }
    if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) fail(begin, "the escape names no character");
    return value;
  }

  void repeat_last() {
    std::vector<Expr>& parts = groups_.back().parts;
    if (parts.empty()) fail(at_, fmt::format("'{}' has nothing in front that could be repeated", peek()));
    const size_t begin = at_;
    int64_t min = 0, max = -1;
    if (take('+')) {
      min = 1;
    } else if (take('?')) {
      max = 1;
    } else if (!take('*')) {
      ++at_;
      parse_bounds(min, max);
      if (max >= 0 && max < min) fail(begin, "the repetition has a maximum below its minimum");
    }
    parts.back() = out_.repeat(parts.back(), min, max);
  }

  void parse_bounds(int64_t& min, int64_t& max) {
    skip(true);
    min = max = parse_count();
    skip(true);
    if (take(',')) {
      skip(true);
      max = is_digit(peek()) ? parse_count() : -1;
      skip(true);
    }
    if (!take('}')) fail_here("expected '}' at the end of a repetition");
  }

  int64_t parse_count() {
    if (!is_digit(peek())) fail_here("expected a number in a repetition, as in {2,5}");
    const size_t begin = at_;
    int64_t n = 0;
    for (; is_digit(peek()); ++at_) {
      n = n * 10 + (peek() - '0');
      if (n > kMaxRepeat) fail(begin, fmt::format("a repetition may have bounds up to {}", kMaxRepeat));
    }
    return n;
  }

  std::string_view text_;
  Expressions& out_;
  size_t at_ = 0;
  std::map<std::string, RuleInfo> rules_;
  std::vector<Group> groups_;
};

}  // namespace

RuleId parse_gbnf(std::string_view text, Expressions& out) {
  return GbnfParser(without_byte_order_mark(text), out).run();
}

}  // namespace fathom::grammar
