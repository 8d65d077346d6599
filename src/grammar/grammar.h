// Grammars that constrain what a model writes, compiled from four languages (docs/constrained.md says what each may
// hold). Constraints fail closed: a source is compiled whole or refused, and no text leaves the grammar.
#pragma once
#include <memory>
#include <span>
#include <string>
#include <string_view>

namespace fathom {

namespace grammar {
struct Compiled;
}

// Compiled, immutable but for a store of masks of its own (at most 16 MB): threads share it.
//
// Every function refuses with a bad_input Error that says where and what: line and column of GBNF, keyword and JSON
// pointer of a schema, place in a regular expression. No source takes more than about 100 ms or 100 MB, by limits on
// its result (grammar/limits.h), and none makes the compiler recurse deeper than those.
class Grammar {
 public:
  // llama.cpp's notation; the text begins with the rule `root`. Left recursion is refused.
  static std::shared_ptr<const Grammar> from_gbnf(std::string_view text);
  // JSON text that the schema accepts. Keywords that are not supported are refused by name.
  static std::shared_ptr<const Grammar> from_json_schema(std::string_view text);
  // The whole text matches.
  static std::shared_ptr<const Grammar> from_regex(std::string_view pattern);
  // The text is one of these, which may be any bytes. bad_input for an empty list.
  static std::shared_ptr<const Grammar> from_choices(std::span<const std::string> choices);
  // Any JSON object.
  static std::shared_ptr<const Grammar> json_object();

  explicit Grammar(std::unique_ptr<const grammar::Compiled> compiled);
  ~Grammar();
  const grammar::Compiled& compiled() const noexcept { return *compiled_; }
  // Of the automaton, for figures and tests.
  size_t n_states() const noexcept;

 private:
  std::unique_ptr<const grammar::Compiled> compiled_;
};

}  // namespace fathom
