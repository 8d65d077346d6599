#include "grammar/regex.h"

#include <array>
#include <optional>

#include "base/error.h"
#include "base/text/utf8.h"
#include "grammar/limits.h"

namespace fathom::grammar {
namespace {

const CharSet kDigits{{'0', '9'}};
const CharSet kWord{{'0', '9'}, {'A', 'Z'}, {'_', '_'}, {'a', 'z'}};
// ECMA-262, WhiteSpace and LineTerminator.
const CharSet kSpace{{'\t', '\r'},     {' ', ' '},       {0xA0, 0xA0},     {0x1680, 0x1680}, {0x2000, 0x200A},
                     {0x2028, 0x2029}, {0x202F, 0x202F}, {0x205F, 0x205F}, {0x3000, 0x3000}, {0xFEFF, 0xFEFF}};
const CharSet kLineEnds{{'\n', '\n'}, {'\r', '\r'}, {0x2028, 0x2029}};

bool is_digit_char(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

class RegexParser {
 public:
  RegexParser(std::string_view text, std::string where) : text_(text), where_(std::move(where)) {}

  CharAutomaton run() {
    if (text_.size() > kMaxRegexBytes)
      throw_bad_input("{}: it has {} bytes; at most {} are taken", where_, text_.size(), kMaxRegexBytes);
    if (const size_t bad = find_invalid_utf8(text_); bad != std::string_view::npos) fail(bad, "the text is not UTF-8");
    return char_automaton(out_, parse(), where_);
  }

 private:
  struct Group {  // one that is open, the whole expression first
    size_t begin;
    std::vector<Expr> choices, parts;
  };
  // What an escape or a place in a class stands for: a character, or a set.
  struct Item {
    std::optional<uint32_t> one;
    CharSet set;
  };

  [[noreturn]] void fail(size_t at, const std::string& what) const {
    throw_bad_input("{} {}, position {}: {}", where_, quoted_for_message(text_), at, what);
  }
  char peek(size_t ahead = 0) const { return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0'; }
  bool at_end() const { return at_ >= text_.size(); }
  bool take(std::string_view what) {
    if (text_.substr(at_, what.size()) != what) return false;
    at_ += what.size();
    return true;
  }

  Expr parse() {
    groups_.assign(1, Group{0, {}, {}});
    while (!at_end()) parse_one();
    if (groups_.size() > 1) fail(groups_.back().begin, "'(' is not closed");
    end_choice();
    return out_.alternatives(std::move(groups_.back().choices));
  }

  void parse_one() {
    const char c = peek();
    switch (c) {
      case '|':
        ++at_;
        return end_choice();
      case '(':
        return open_group();
      case ')':
        return close_group();
      case '*':
      case '+':
      case '?':
      case '{':
        return repeat_last();
      case '^':
        ++at_;
        return add(out_.text_begin(), false);
      case '$':
        ++at_;
        return add(out_.text_end(), false);
      case '.':
        ++at_;
        return add(out_.chars(kLineEnds.inverted()));
      case '[':
        return add(out_.chars(parse_class()));
      case ']':
      case '}':
        fail(at_, fmt::format("'{}' must be written '\\{}'", c, c));
      default:
        break;
    }
    const Item item = c == '\\' ? parse_escape() : Item{parse_plain(), {}};
    add(out_.chars(item.one ? CharSet{{*item.one, *item.one}} : item.set));
  }

  void add(Expr part, bool repeatable = true) {
    groups_.back().parts.push_back(part);
    repeatable_ = repeatable;
  }

  uint32_t parse_plain() {
    const Utf8Char c = decode_utf8(text_, at_);
    at_ += c.length;
    return c.code_point;
  }

  void end_choice() {
    Group& group = groups_.back();
    group.choices.push_back(out_.sequence(std::move(group.parts)));
    group.parts.clear();
    repeatable_ = false;
  }

  void open_group() {
    const size_t begin = at_++;
    if (take("?:")) {
    } else if (take("?=") || take("?!") || take("?<=") || take("?<!")) {
      fail(begin, "look-around (?= ?! ?<= ?<!) is not supported: it takes more than a finite automaton");
    } else if (take("?<") || take("?P<")) {
      while (!at_end() && (is_letter(peek()) || is_digit_char(peek()) || peek() == '_')) ++at_;
      if (!take(">")) fail(begin, "the name of the group is not closed");
    } else if (peek() == '?') {
      fail(begin,
           "flags and other kinds of groups (?...) are not supported; there are (...), (?:...) and (?<name>...)");
    }
    if (groups_.size() > kMaxNesting) fail(begin, fmt::format("groups are nested more than {} deep", kMaxNesting));
    groups_.push_back({begin, {}, {}});
    repeatable_ = false;
  }

  void close_group() {
    if (groups_.size() == 1) fail(at_, "')' without '('; write '\\)' for the character");
    ++at_;
    end_choice();
    const Expr whole = out_.alternatives(std::move(groups_.back().choices));
    groups_.pop_back();
    add(whole);
  }

  void repeat_last() {
    const size_t begin = at_;
    if (!repeatable_ || groups_.back().parts.empty())
      fail(at_, fmt::format("'{}' has nothing in front that could be repeated", peek()));
    int64_t min = 0, max = -1;
    if (take("+")) {
      min = 1;
    } else if (take("?")) {
      max = 1;
    } else if (!take("*")) {
      parse_bounds(min, max);
    }
    if (peek() == '+') fail(at_, "possessive repetition is not supported");
    take("?");  // lazy or greedy, the same texts match
    if (max >= 0 && max < min) fail(begin, "the repetition has a maximum below its minimum");
    Expr& last = groups_.back().parts.back();
    last = out_.repeat(last, min, max);
    repeatable_ = false;
  }

  void parse_bounds(int64_t& min, int64_t& max) {
    const size_t begin = at_++;
    const auto first = parse_count();
    min = max = first.value_or(0);
    if (take(",")) max = parse_count().value_or(-1);
    if (!first || !take("}")) fail(begin, "'{' begins a repetition {m}, {m,} or {m,n}; write '\\{' for the character");
  }

  std::optional<int64_t> parse_count() {
    if (!is_digit_char(peek())) return std::nullopt;
    const size_t begin = at_;
    int64_t n = 0;
    for (; is_digit_char(peek()); ++at_) {
      n = n * 10 + (peek() - '0');
      if (n > kMaxRepeat) fail(begin, fmt::format("a repetition may have bounds up to {}", kMaxRepeat));
    }
    return n;
  }

  CharSet parse_class() {
    const size_t begin = at_++;
    const bool inverted = take("^");
    std::vector<CodeRange> ranges;
    auto add_set = [&](const CharSet& set) { ranges.insert(ranges.end(), set.ranges().begin(), set.ranges().end()); };
    while (!take("]")) {
      if (at_end()) fail(begin, "the class is not closed");
      if (peek() == '[' && (peek(1) == ':' || peek(1) == '.' || peek(1) == '='))
        fail(at_, "POSIX classes [:name:] are not supported; write the characters, or \\p{..}");
      const size_t at = at_;
      const Item first = parse_class_item();
      if (peek() == '-' && peek(1) != ']' && at_ + 1 < text_.size()) {
        ++at_;
        const Item last = parse_class_item();
        if (!first.one || !last.one) fail(at, "a range needs a character on either side");
        if (*last.one < *first.one) fail(at, "the range of characters ends before it begins");
        ranges.push_back({*first.one, *last.one});
      } else if (first.one) {
        ranges.push_back({*first.one, *first.one});
      } else {
        add_set(first.set);
      }
    }
    const CharSet set(std::move(ranges));
    return inverted ? set.inverted() : set;
  }

  Item parse_class_item() {
    if (at_end()) fail(at_, "the class is not closed");
    if (take("\\b")) return {uint32_t{'\b'}, {}};
    if (peek() == '\\') return parse_escape();
    return {parse_plain(), {}};
  }

  Item parse_escape() {
    const size_t begin = at_++;
    if (at_end()) fail(begin, "'\\' at the end");
    const char c = peek();
    ++at_;
    switch (c) {
      case 'd':
        return {std::nullopt, kDigits};
      case 'D':
        return {std::nullopt, kDigits.inverted()};
      case 'w':
        return {std::nullopt, kWord};
      case 'W':
        return {std::nullopt, kWord.inverted()};
      case 's':
        return {std::nullopt, kSpace};
      case 'S':
        return {std::nullopt, kSpace.inverted()};
      case 'p':
        return {std::nullopt, parse_property(begin)};
      case 'P':
        return {std::nullopt, parse_property(begin).inverted()};
      case 'n':
        return {uint32_t{'\n'}, {}};
      case 'r':
        return {uint32_t{'\r'}, {}};
      case 't':
        return {uint32_t{'\t'}, {}};
      case 'f':
        return {uint32_t{'\f'}, {}};
      case 'v':
        return {uint32_t{'\v'}, {}};
      case 'x':
        return {parse_hex(begin, 2), {}};
      case 'u':
        return {parse_hex(begin, 4), {}};
      case '0':
        if (!is_digit_char(peek())) return {uint32_t{0}, {}};
        break;
      case 'b':
      case 'B':
        fail(begin, "word boundaries (\\b, \\B) are not supported");
      default:
        break;
    }
    if (is_digit_char(c) || c == 'k')
      fail(begin, "back-references are not supported: they take more than a finite automaton");
    if (is_letter(c)) fail(begin, fmt::format("the escape \\{} is not supported", c));
    --at_;
    return {parse_plain(), {}};
  }

  // \xHH, \uHHHH, and \x{H...}, \u{H...}.
  uint32_t parse_hex(size_t begin, size_t digits) {
    std::string_view hex = text_.substr(at_, digits);
    if (peek() == '{') {
      hex = braced(begin);
      if (hex.empty() || hex.size() > 6) fail(begin, "the escape needs one to six hexadecimal digits");
    } else if (hex.size() < digits) {
      fail(begin, fmt::format("the escape needs {} hexadecimal digits", digits));
    } else {
      at_ += digits;
    }
    uint32_t value = 0;
    for (const char c : hex) {
      const size_t digit = std::string_view("0123456789abcdef").find(static_cast<char>(is_letter(c) ? c | 0x20 : c));
      if (digit == std::string_view::npos) fail(begin, "the escape has what is no hexadecimal digit");
      value = value * 16 + static_cast<uint32_t>(digit);
    }
    if (value > 0x10FFFF || (value >= 0xD800 && value <= 0xDFFF)) fail(begin, "the escape names no character");
    return value;
  }

  std::string_view braced(size_t begin) {
    const size_t end = text_.find('}', at_);
    if (end == std::string_view::npos) fail(begin, "the escape is not closed by '}'");
    const std::string_view inside = text_.substr(at_ + 1, end - at_ - 1);
    at_ = end + 1;
    return inside;
  }

  CharSet parse_property(size_t begin) {
    if (at_end()) fail(begin, "the name of the class is missing");
    const std::string_view name = peek() == '{' ? braced(begin) : text_.substr(at_++, 1);
    struct Named {
      std::string_view name;
      CharClass kind;
    };
    static constexpr std::array<Named, 10> kNames = {{{"L", CharClass::letter},
                                                      {"Letter", CharClass::letter},
                                                      {"M", CharClass::mark},
                                                      {"Mark", CharClass::mark},
                                                      {"N", CharClass::number},
                                                      {"Number", CharClass::number},
                                                      {"P", CharClass::punctuation},
                                                      {"Punctuation", CharClass::punctuation},
                                                      {"S", CharClass::symbol},
                                                      {"Symbol", CharClass::symbol}}};
    for (const Named& n : kNames)
      if (n.name == name) return CharSet::of_class(n.kind);
    fail(begin, fmt::format("the class \\p{{{}}} is not supported; there are L, M, N, P, S", name));
  }

  std::string_view text_;
  std::string where_;
  Expressions out_;
  size_t at_ = 0;
  bool repeatable_ = false;  // the last part may be repeated
  std::vector<Group> groups_;
};

}  // namespace

CharAutomaton parse_regex(std::string_view pattern, std::string where) {
  return RegexParser(pattern, std::move(where)).run();
}

}  // namespace fathom::grammar
