// JSON as expressions: what a model may write.
//
// White space: none, but one space may follow each ',' and ':'. Numbers: at most 18 digits in front of the point, 18
// behind it and two in the exponent, so that each is finite. Strings: any valid UTF-8 with JSON's escapes; \u escapes
// name no lone surrogates.
#pragma once
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json/json.h"
#include "grammar/char_automaton.h"
#include "grammar/expression.h"

namespace fathom::grammar {

class JsonText {
 public:
  explicit JsonText(Expressions& out) : out_(out) {}

  Expr any_value();
  Expr any_object();
  Expr any_array();
  Expr number();
  Expr integer();
  Expr boolean();
  Expr null() { return out_.literal("null"); }

  Expr any_string();
  Expr string_of_length(int64_t min, int64_t max);  // in characters; max -1: any
  // The strings whose characters the automaton accepts, each character in its shortest spelling.
  Expr string_of(const CharAutomaton& automaton);
  // Any string but these, each character in its shortest spelling, so that none of these is met in another.
  Expr string_except(const std::vector<std::string>& names);
  // This value and no other; objects with their members in this order.
  Expr constant(const json::value& value);

  Expr key(std::string_view name);  // "name":
  Expr separator();                 // what stands between two members or items
  // '[' items ']' with min to max of them (max -1: any number).
  Expr array_of(Expr item, int64_t min, int64_t max);
  // One member: a key, ':' and a value.
  Expr member(Expr key_string, Expr value);

 private:
  Expr rule(std::string_view name, Expr (JsonText::*body)());
  Expr string_body();
  Expr string_char();
  Expr value_body();
  Expr object_body();
  Expr array_body();
  Expr number_body();
  Expr digits(int64_t min, int64_t max);
  Expr spelt(const CharSet& set);

  Expressions& out_;
  std::map<std::string, RuleId, std::less<>> rules_;
  std::map<CharSet, Expr> spelt_;
};

std::string json_quoted(std::string_view text);

}  // namespace fathom::grammar
