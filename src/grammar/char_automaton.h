// Automata over characters, for regular expressions: what can be done with them before they become bytes.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "grammar/char_set.h"
#include "grammar/expression.h"

namespace fathom::grammar {

// Non-deterministic; state 0 is where a text begins. A text matches when its characters lead from there to a state in
// `accepting`.
struct CharAutomaton {
  struct Edge {
    uint32_t from, to;
    int32_t set;  // index in sets; kJump: reads nothing; kBegin, kEnd: only at the begin or end of the text
  };
  static constexpr int32_t kJump = -1, kBegin = -2, kEnd = -3;

  std::string where;  // in messages
  uint32_t n_states = 1;
  std::vector<Edge> edges;
  std::vector<CharSet> sets;
  std::vector<uint32_t> accepting;

  // Those texts that match whole; ^ and $ are resolved.
  CharAutomaton whole() const;
  // Those texts in which some part matches (as `pattern` of JSON schema says); ^ and $ are resolved.
  CharAutomaton containing() const;
  // Of an automaton without ^ and $: those texts that have from min to max characters (max -1: any number).
  CharAutomaton of_length(int64_t min, int64_t max) const;
};

// All of these refuse with a bad_input Error that names `where` beyond kMaxRegexStates.

// An expression of literals of ASCII, characters, sequences, alternatives, repetitions and anchors.
CharAutomaton char_automaton(const Expressions& expressions, Expr text, std::string where);

// The texts as UTF-8; json_text.h writes them as JSON strings.
Expr utf8_text(const CharAutomaton& automaton, Expressions& out);
// The same with another spelling of characters: label(set) is an expression for one character of the set.
template <class Label>
Expr text_of(const CharAutomaton& automaton, Expressions& out, Label&& label) {
  Graph graph;
  graph.n_states = automaton.n_states;
  graph.accepting = automaton.accepting;
  std::vector<Expr> labels;
  for (const CharSet& set : automaton.sets) labels.push_back(label(set));
  const Expr nothing_read = out.empty();
  for (const CharAutomaton::Edge& e : automaton.edges)
    graph.add(e.from, e.set == CharAutomaton::kJump ? nothing_read : labels[static_cast<size_t>(e.set)], e.to);
  return out.graph(std::move(graph));
}

}  // namespace fathom::grammar
