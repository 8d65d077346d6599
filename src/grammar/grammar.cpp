#include "grammar/grammar.h"

#include "base/error.h"
#include "grammar/compiled.h"
#include "grammar/gbnf.h"
#include "grammar/json_text.h"
#include "grammar/regex.h"
#include "grammar/schema/schema.h"

namespace fathom {
namespace {

using grammar::Compiled;
using grammar::Expressions;
using grammar::RuleId;

void check_size(const char* what, size_t bytes, size_t limit) {
  if (bytes > limit) throw_bad_input("{} has {} bytes; at most {} are taken", what, bytes, limit);
}

std::shared_ptr<const Grammar> compile(const Expressions& expressions, RuleId start) {
  auto compiled = std::make_unique<Compiled>();
  compiled->network = build_network(expressions, start);
  return std::make_shared<const Grammar>(std::move(compiled));
}

std::shared_ptr<const Grammar> compile_text(Expressions& expressions, grammar::Expr text) {
  const RuleId start = expressions.add_rule("the text");
  expressions.define(start, text);
  return compile(expressions, start);
}

}  // namespace

Grammar::Grammar(std::unique_ptr<const Compiled> compiled) : compiled_(std::move(compiled)) {}
Grammar::~Grammar() = default;
size_t Grammar::n_states() const noexcept { return compiled_->network.n_states(); }

std::shared_ptr<const Grammar> Grammar::from_gbnf(std::string_view text) {
  check_size("the GBNF grammar", text.size(), grammar::kMaxSourceBytes);
  Expressions expressions;
  const RuleId root = grammar::parse_gbnf(text, expressions);
  return compile(expressions, root);
}

std::shared_ptr<const Grammar> Grammar::from_json_schema(std::string_view text) {
  check_size("the JSON schema", text.size(), grammar::kMaxSourceBytes);
  Expressions expressions;
  const RuleId root = grammar::parse_schema(text, expressions);
  return compile(expressions, root);
}

std::shared_ptr<const Grammar> Grammar::from_regex(std::string_view pattern) {
  Expressions expressions;
  const grammar::CharAutomaton automaton = grammar::parse_regex(pattern, "regular expression").whole();
  return compile_text(expressions, grammar::utf8_text(automaton, expressions));
}

std::shared_ptr<const Grammar> Grammar::from_choices(std::span<const std::string> choices) {
  if (choices.empty()) throw_bad_input("the list of choices is empty; give at least one text");
  Expressions expressions;
  std::vector<grammar::Expr> texts;
  size_t bytes = 0;
  for (const std::string& choice : choices) {
    bytes += choice.size();
    check_size("the list of choices", bytes, grammar::kMaxSourceBytes);
    texts.push_back(expressions.literal(choice));
  }
  return compile_text(expressions, expressions.alternatives(std::move(texts)));
}

std::shared_ptr<const Grammar> Grammar::json_object() {
  Expressions expressions;
  grammar::JsonText json(expressions);
  return compile_text(expressions, json.any_object());
}

}  // namespace fathom
