#include "grammar/expression.h"

#include <algorithm>

#include "base/error.h"
#include "grammar/limits.h"

namespace fathom::grammar {
namespace {

constexpr uint64_t kHuge = uint64_t{1} << 40;

}  // namespace

Expr Expressions::add(ExprNode node) {
  if (nodes_.size() >= kMaxExpressions)
    throw_bad_input("the grammar is larger than the limit of {} parts; write a smaller one", kMaxExpressions);
  node.size = std::min(node.size, kHuge);
  nodes_.push_back(std::move(node));
  return static_cast<Expr>(nodes_.size() - 1);
}

Expr Expressions::literal(std::string bytes) {
  ExprNode node{ExprKind::literal};
  node.size = bytes.size();
  node.bytes = std::move(bytes);
  return add(std::move(node));
}

Expr Expressions::chars(CharSet set) {
  ExprNode node{ExprKind::chars};
  node.size = 1 + 2 * set.ranges().size();
  node.set = std::move(set);
  return add(std::move(node));
}

Expr Expressions::sequence(std::vector<Expr> parts) {
  if (parts.size() == 1) return parts[0];
  ExprNode node{ExprKind::sequence};
  node.size = 1;
  for (const Expr e : parts) node.size += nodes_[e].size;
  node.children = std::move(parts);
  return add(std::move(node));
}

Expr Expressions::alternatives(std::vector<Expr> choices) {
  if (choices.size() == 1) return choices[0];
  ExprNode node{ExprKind::alternatives};
  for (const Expr e : choices) node.size += nodes_[e].size;
  node.children = std::move(choices);
  return add(std::move(node));
}

Expr Expressions::repeat(Expr body, int64_t min, int64_t max) {
  ExprNode node{ExprKind::repeat};
  node.size = nodes_[body].size * static_cast<uint64_t>(std::max<int64_t>({min, max, 1}));
  node.children = {body};
  node.min = min;
  node.max = max;
  return add(std::move(node));
}

Expr Expressions::call(RuleId rule) {
  ExprNode node{ExprKind::call};
  node.size = 1;
  node.index = rule;
  return add(std::move(node));
}

Expr Expressions::graph(Graph graph) {
  ExprNode node{ExprKind::graph};
  node.size = graph.n_states;
  for (const Graph::Edge& e : graph.edges) node.size += nodes_[e.label].size;
  node.index = static_cast<uint32_t>(graphs_.size());
  graphs_.push_back(std::move(graph));
  return add(std::move(node));
}

void Expressions::count_graph_edges(size_t n) {
  graph_edges_ += n;
  if (graph_edges_ > kMaxEdges)
    throw_bad_input(
        "the grammar needs more than {} edges between its states, the limit; ranges of numbers with "
        "'multipleOf' take most",
        kMaxEdges);
}

RuleId Expressions::add_rule(std::string name) {
  if (rules_.size() >= kMaxRules)
    throw_bad_input("the grammar has more than {} rules, the limit; write a smaller one", kMaxRules);
  rules_.push_back({std::move(name)});
  return static_cast<RuleId>(rules_.size() - 1);
}

}  // namespace fathom::grammar
