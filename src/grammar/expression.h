// What a source (GBNF, schema, regular expression, choices) is parsed into: expressions over bytes and characters, and
// named rules that may call each other. network.h makes the automaton of it.
#pragma once
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <vector>

#include "grammar/char_set.h"

namespace fathom::grammar {

using Expr = uint32_t;  // index of an expression
using RuleId = uint32_t;

// An automaton whose edges carry expressions: for what is easier to draw than to write (numbers in a range, objects
// with optional members, a pattern with a length). A text matches when it is spelt along a path from state 0 to a state
// in `accepting`.
struct Graph {
  struct Edge {
    uint32_t from, to;
    Expr label;
  };
  uint32_t n_states = 1;
  std::vector<Edge> edges;
  std::vector<uint32_t> accepting;

  uint32_t add_state() { return n_states++; }
  void add(uint32_t from, Expr label, uint32_t to) { edges.push_back({from, to, label}); }
};

enum class ExprKind : uint8_t { literal, chars, sequence, alternatives, repeat, call, graph, text_begin, text_end };

struct ExprNode {
  ExprKind kind;
  std::string bytes{};           // literal
  CharSet set{};                 // chars
  std::vector<Expr> children{};  // sequence, alternatives (none: no text matches); repeat: one
  int64_t min = 0, max = 0;      // repeat; max -1: without end
  uint32_t index = 0;            // call: the rule; graph: in graphs
  uint64_t size = 0;             // about how many states it takes
};

// Builds expressions bottom-up. Refuses with a bad_input Error what exceeds limits.h.
class Expressions {
 public:
  Expr literal(std::string bytes);
  Expr empty() { return literal({}); }
  Expr nothing() { return alternatives({}); }  // matches no text, not even the empty one
  Expr chars(CharSet set);
  Expr sequence(std::vector<Expr> parts);
  Expr alternatives(std::vector<Expr> choices);
  Expr repeat(Expr body, int64_t min, int64_t max);
  Expr optional(Expr body) { return repeat(body, 0, 1); }
  Expr call(RuleId rule);
  Expr graph(Graph graph);
  // What a graph will have, told while it grows: refuses beyond kMaxEdges of all graphs together.
  void count_graph_edges(size_t n);
  // ^ and $ of a regular expression; char_automaton.h alone understands them.
  Expr text_begin() { return add({ExprKind::text_begin}); }
  Expr text_end() { return add({ExprKind::text_end}); }

  // A rule that is called before it is defined is fine; one that is never defined is a defect of the caller.
  RuleId add_rule(std::string name);
  void define(RuleId rule, Expr body) { rules_[rule].body = body; }

  struct Rule {
    std::string name;  // for messages
    Expr body = 0;
  };
  const ExprNode& operator[](Expr e) const { return nodes_[e]; }
  const Graph& graph_of(const ExprNode& node) const { return graphs_[node.index]; }
  const std::deque<Rule>& rules() const noexcept { return rules_; }

 private:
  Expr add(ExprNode node);

  std::deque<ExprNode> nodes_;
  std::deque<Graph> graphs_;
  size_t graph_edges_ = 0;
  std::deque<Rule> rules_;
};

}  // namespace fathom::grammar
