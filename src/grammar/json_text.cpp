#include "grammar/json_text.h"

#include <algorithm>

#include "base/error.h"
#include "base/text/utf8.h"

namespace fathom::grammar {
namespace {

constexpr int64_t kMaxDigits = 18;

CharSet one(char c) { return CharSet{{static_cast<uint32_t>(c), static_cast<uint32_t>(c)}}; }
CharSet hex_digits() { return CharSet{{'0', '9'}, {'A', 'F'}, {'a', 'f'}}; }
// Characters that a JSON string may hold as they are.
CharSet plain_chars() { return CharSet{{0x20, 0x21}, {0x23, 0x5B}, {0x5D, 0x10FFFF}}; }

std::string number_text(const json::value& value) {
  if (const double* number = value.if_double()) return fmt::format("{}", *number);
  return json::serialize(value);
}

}  // namespace

std::string json_quoted(std::string_view text) { return json::serialize(json::string(text)); }

Expr JsonText::rule(std::string_view name, Expr (JsonText::*body)()) {
  const auto known = rules_.find(name);
  if (known != rules_.end()) return out_.call(known->second);
  const RuleId id = rules_.emplace(name, out_.add_rule(std::string(name))).first->second;
  out_.define(id, (this->*body)());
  return out_.call(id);
}

Expr JsonText::any_value() { return rule("any JSON value", &JsonText::value_body); }
Expr JsonText::any_object() { return rule("any JSON object", &JsonText::object_body); }
Expr JsonText::any_array() { return rule("any JSON array", &JsonText::array_body); }
Expr JsonText::any_string() { return rule("any JSON string", &JsonText::string_body); }
Expr JsonText::number() { return rule("any JSON number", &JsonText::number_body); }
Expr JsonText::boolean() { return out_.alternatives({out_.literal("true"), out_.literal("false")}); }

Expr JsonText::value_body() {
  return out_.alternatives({any_object(), any_array(), any_string(), number(), boolean(), null()});
}

Expr JsonText::array_body() { return array_of(any_value(), 0, -1); }

Expr JsonText::object_body() {
  const Expr one_member = member(any_string(), any_value());
  const Expr more = out_.repeat(out_.sequence({separator(), one_member}), 0, -1);
  return out_.sequence({out_.literal("{"), out_.optional(out_.sequence({one_member, more})), out_.literal("}")});
}

Expr JsonText::digits(int64_t min, int64_t max) { return out_.repeat(out_.chars({{'0', '9'}}), min, max); }

Expr JsonText::integer() {
  const Expr large = out_.sequence({out_.chars({{'1', '9'}}), digits(0, kMaxDigits - 1)});
  return out_.alternatives({out_.sequence({out_.optional(out_.literal("-")), large}), out_.literal("0")});
}

Expr JsonText::number_body() {
  const Expr whole =
      out_.alternatives({out_.sequence({out_.chars({{'1', '9'}}), digits(0, kMaxDigits - 1)}), out_.literal("0")});
  const Expr fraction = out_.sequence({out_.literal("."), digits(1, kMaxDigits)});
  const Expr exponent = out_.sequence(
      {out_.chars({{'E', 'E'}, {'e', 'e'}}), out_.optional(out_.chars({{'+', '+'}, {'-', '-'}})), digits(1, 2)});
  return out_.sequence({out_.optional(out_.literal("-")), whole, out_.optional(fraction), out_.optional(exponent)});
}

Expr JsonText::string_char() {
  const Expr hex = out_.chars(hex_digits());
  auto surrogate = [&](const char* third) {  // D8..DB in front, DC..DF behind
    std::vector<CodeRange> range;
    for (const char* c = third; *c != '\0'; ++c)
      range.push_back({static_cast<uint32_t>(*c), static_cast<uint32_t>(*c)});
    return out_.sequence({out_.chars({{'D', 'D'}, {'d', 'd'}}), out_.chars(CharSet(std::move(range))), hex, hex});
  };
  const Expr no_surrogate =
      out_.alternatives({out_.sequence({out_.chars(hex_digits() & (one('D') | one('d')).inverted()), hex, hex, hex}),
                         out_.sequence({out_.chars({{'D', 'D'}, {'d', 'd'}}), out_.chars({{'0', '7'}}), hex, hex})});
  const Expr pair = out_.sequence({surrogate("89ABab"), out_.literal("\\u"), surrogate("CDEFcdef")});
  const Expr unicode = out_.sequence({out_.literal("u"), out_.alternatives({no_surrogate, pair})});
  const CharSet letters = one('"') | one('\\') | one('/') | one('b') | one('f') | one('n') | one('r') | one('t');
  const Expr escape = out_.sequence({out_.literal("\\"), out_.alternatives({out_.chars(letters), unicode})});
  return out_.alternatives({out_.chars(plain_chars()), escape});
}

Expr JsonText::string_body() { return string_of_length(0, -1); }

Expr JsonText::string_of_length(int64_t min, int64_t max) {
  const Expr one_char =
      min > 0 || max > 0 ? rule("a character of a JSON string", &JsonText::string_char) : string_char();
  return out_.sequence({out_.literal("\""), out_.repeat(one_char, min, max), out_.literal("\"")});
}

Expr JsonText::spelt(const CharSet& set) {
  const auto known = spelt_.find(set);
  if (known != spelt_.end()) return known->second;
  std::vector<Expr> ways = {out_.chars(set & plain_chars())};
  const CharSet escaped = set & plain_chars().inverted();
  for (const CodeRange& r : escaped.ranges()) {
    for (uint32_t c = r.first; c <= r.last; ++c) {
      std::string text;
      append_utf8(text, c);
      const std::string quoted = json_quoted(text);
      ways.push_back(out_.literal(quoted.substr(1, quoted.size() - 2)));
    }
  }
  return spelt_[set] = out_.alternatives(std::move(ways));
}

Expr JsonText::string_of(const CharAutomaton& automaton) {
  const Expr inside = text_of(automaton, out_, [this](const CharSet& set) { return spelt(set); });
  return out_.sequence({out_.literal("\""), inside, out_.literal("\"")});
}

// A trie of the names: a string leaves it by a character that no name has there, or ends inside it where no name ends.
Expr JsonText::string_except(const std::vector<std::string>& names) {
  std::vector<std::map<uint32_t, uint32_t>> children(1);
  std::vector<uint8_t> is_name(1, 0);
  for (const std::string& name : names) {
    uint32_t at = 0;
    for (size_t i = 0; i < name.size();) {
      const Utf8Char c = decode_utf8(name, i);
      i += c.length;
      const auto [next, is_new] = children[at].try_emplace(c.code_point, static_cast<uint32_t>(children.size()));
      at = next->second;
      if (!is_new) continue;
      children.emplace_back();
      is_name.push_back(0);
    }
    is_name[at] = 1;
  }
  CharAutomaton out{.where = "property names",
                    .n_states = static_cast<uint32_t>(children.size()) + 1,
                    .edges = {},
                    .sets = {},
                    .accepting = {}};
  const uint32_t free = out.n_states - 1;
  auto add = [&](uint32_t from, CharSet set, uint32_t to) {
    out.edges.push_back({from, to, static_cast<int32_t>(out.sets.size())});
    out.sets.push_back(std::move(set));
  };
  for (uint32_t s = 0; s < children.size(); ++s) {
    std::vector<CodeRange> taken;
    for (const auto& [code, to] : children[s]) {
      taken.push_back({code, code});
      add(s, CharSet{{code, code}}, to);
    }
    add(s, CharSet(std::move(taken)).inverted(), free);
    if (!is_name[s]) out.accepting.push_back(s);
  }
  add(free, CharSet::all(), free);
  out.accepting.push_back(free);
  return string_of(out);
}

Expr JsonText::separator() { return out_.sequence({out_.literal(","), out_.optional(out_.literal(" "))}); }
Expr JsonText::key(std::string_view name) {
  return out_.sequence({out_.literal(json_quoted(name) + ":"), out_.optional(out_.literal(" "))});
}
Expr JsonText::member(Expr key_string, Expr value) {
  return out_.sequence({key_string, out_.literal(":"), out_.optional(out_.literal(" ")), value});
}

Expr JsonText::array_of(Expr item, int64_t min, int64_t max) {
  if (max == 0) return out_.literal("[]");
  const Expr more =
      out_.repeat(out_.sequence({separator(), item}), std::max<int64_t>(min - 1, 0), max < 0 ? -1 : max - 1);
  const Expr items = out_.sequence({item, more});
  return out_.sequence({out_.literal("["), min == 0 ? out_.optional(items) : items, out_.literal("]")});
}

// Recurses as deep as the schema that holds the value (kMaxSchemaDepth).
Expr JsonText::constant(const json::value& value) {
  std::vector<Expr> parts;
  if (const json::array* array = value.if_array()) {
    parts.push_back(out_.literal("["));
    for (const json::value& item : *array) {
      if (parts.size() > 1) parts.push_back(separator());
      parts.push_back(constant(item));
    }
    parts.push_back(out_.literal("]"));
  } else if (const json::object* object = value.if_object()) {
    parts.push_back(out_.literal("{"));
    for (const auto& member : *object) {
      if (parts.size() > 1) parts.push_back(separator());
      parts.push_back(key(member.key()));
      parts.push_back(constant(member.value()));
    }
    parts.push_back(out_.literal("}"));
  } else {
    return out_.literal(value.is_number() ? number_text(value) : json::serialize(value));
  }
  return out_.sequence(std::move(parts));
}

}  // namespace fathom::grammar
