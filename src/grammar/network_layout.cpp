// From expressions to states and edges. Each piece of work lays one expression between two states that are there
// already; pieces wait in a list, so that no source makes this recurse.
#include <algorithm>
#include <map>
#include <string_view>

#include "base/error.h"
#include "grammar/limits.h"
#include "grammar/network_parts.h"

namespace fathom::grammar {
namespace {

// More sequences of bytes than this, and a set of characters becomes a rule that every use calls.
constexpr size_t kInlineSequences = 16;
// Copies of a repeated body that take more states than this in all are calls of one rule.
constexpr uint64_t kInlineCopies = 64;
constexpr size_t kTrieFrom = 3;  // literals side by side

class Layout {
 public:
  explicit Layout(const Expressions& expressions) : in_(expressions) {}

  RawNetwork run() {
    for (const Expressions::Rule& rule : in_.rules()) add_rule(rule.name, rule.body);
    while (!work_.empty()) {
      const Piece piece = work_.back();
      work_.pop_back();
      lay(piece);
    }
    return std::move(out_);
  }

 private:
  struct Piece {
    Expr expr;
    uint32_t from, to;
  };

  uint32_t add_state() {
    if (out_.n_states >= kMaxStates)
      throw_bad_input(
          "the grammar needs more than {} states, the limit; repetitions with large bounds and long lists of "
          "values take most",
          kMaxStates);
    return out_.n_states++;
  }

  void add_edge(const RawEdge& edge) {
    if (out_.edges.size() >= kMaxEdges)
      throw_bad_input("the grammar needs more than {} edges between its states, the limit", kMaxEdges);
    out_.edges.push_back(edge);
  }
  void jump(uint32_t from, uint32_t to) { add_edge({from, to, EdgeKind::jump}); }
  void read(uint32_t from, uint8_t first, uint8_t last, uint32_t to) {
    add_edge({from, to, EdgeKind::byte, first, last});
  }
  void call(uint32_t from, uint32_t rule, uint32_t to) { add_edge({from, to, EdgeKind::call, 0, 0, rule}); }

  uint32_t add_rule(const std::string& name, Expr body) {
    const uint32_t start = add_state(), end = add_state();
    out_.rules.push_back({name, start, end});
    work_.push_back({body, start, end});
    return static_cast<uint32_t>(out_.rules.size() - 1);
  }

  void lay(const Piece& piece) {
    const ExprNode& node = in_[piece.expr];
    switch (node.kind) {
      case ExprKind::literal:
        return lay_literal(node.bytes, piece.from, piece.to);
      case ExprKind::chars:
        return lay_chars(node.set, piece.from, piece.to);
      case ExprKind::sequence:
        return lay_sequence(node.children, piece.from, piece.to);
      case ExprKind::alternatives:
        return lay_alternatives(node.children, piece.from, piece.to);
      case ExprKind::repeat:
        return lay_repeat(node, piece.from, piece.to);
      case ExprKind::call:
        return call(piece.from, node.index, piece.to);
      case ExprKind::graph:
        return lay_graph(in_.graph_of(node), piece.from, piece.to);
      case ExprKind::text_begin:
      case ExprKind::text_end:
        break;
    }
    check(false, "an anchor reached the network");
  }

  void lay_literal(std::string_view bytes, uint32_t from, uint32_t to) {
    if (bytes.empty()) return jump(from, to);
    for (size_t i = 0; i < bytes.size(); ++i) {
      const auto byte = static_cast<uint8_t>(bytes[i]);
      const uint32_t next = i + 1 == bytes.size() ? to : add_state();
      read(from, byte, byte, next);
      from = next;
    }
  }

  void lay_chars(const CharSet& set, uint32_t from, uint32_t to) {
    if (const auto known = rule_of_set_.find(set); known != rule_of_set_.end()) return call(from, known->second, to);
    const std::vector<ByteSequence> sequences = utf8_sequences(set);
    if (sequences.size() > kInlineSequences) {
      const uint32_t start = add_state(), end = add_state();
      out_.rules.push_back({"(characters)", start, end});
      const auto rule = static_cast<uint32_t>(out_.rules.size() - 1);
      rule_of_set_.emplace(set, rule);
      lay_sequences(sequences, start, end);
      return call(from, rule, to);
    }
    lay_sequences(sequences, from, to);
  }

  // Sequences that end alike share their last states.
  void lay_sequences(const std::vector<ByteSequence>& sequences, uint32_t from, uint32_t to) {
    std::map<std::string, uint32_t> state_before;  // these ranges
    for (const ByteSequence& s : sequences) {
      std::string rest;
      uint32_t at = to;
      for (int i = s.length - 1; i > 0; --i) {
        rest += static_cast<char>(s.first[i]);
        rest += static_cast<char>(s.last[i]);
        const auto [place, is_new] = state_before.try_emplace(rest, 0);
        if (is_new) {
          place->second = add_state();
          read(place->second, s.first[i], s.last[i], at);
        }
        at = place->second;
      }
      read(from, s.first[0], s.last[0], at);
    }
  }

  void lay_sequence(const std::vector<Expr>& parts, uint32_t from, uint32_t to) {
    if (parts.empty()) return jump(from, to);
    for (size_t i = 0; i < parts.size(); ++i) {
      const uint32_t next = i + 1 == parts.size() ? to : add_state();
      work_.push_back({parts[i], from, next});
      from = next;
    }
  }

  void lay_alternatives(const std::vector<Expr>& choices, uint32_t from, uint32_t to) {
    std::vector<std::string_view> literals;
    for (const Expr e : choices)
      if (in_[e].kind == ExprKind::literal) literals.push_back(in_[e].bytes);
    const bool as_trie = literals.size() >= kTrieFrom;
    if (as_trie) lay_trie(std::move(literals), from, to);
    for (const Expr e : choices)
      if (!as_trie || in_[e].kind != ExprKind::literal) work_.push_back({e, from, to});
  }

  void lay_trie(std::vector<std::string_view> literals, uint32_t from, uint32_t to) {
    std::sort(literals.begin(), literals.end());
    literals.erase(std::unique(literals.begin(), literals.end()), literals.end());
    std::vector<uint32_t> path = {from};  // the states along the literal before
    std::string_view before;
    for (const std::string_view literal : literals) {
      const auto differ = std::mismatch(before.begin(), before.end(), literal.begin(), literal.end());
      path.resize(static_cast<size_t>(differ.first - before.begin()) + 1);
      for (size_t i = path.size() - 1; i < literal.size(); ++i) {
        const uint32_t next = add_state();
        read(path.back(), static_cast<uint8_t>(literal[i]), static_cast<uint8_t>(literal[i]), next);
        path.push_back(next);
      }
      jump(path.back(), to);
      before = literal;
    }
  }

  void lay_repeat(const ExprNode& node, uint32_t from, uint32_t to) {
    const Expr body = node.children[0];
    const int64_t copies = std::max<int64_t>({node.min, node.max, 1});
    const bool as_rule = copies > 1 && static_cast<uint64_t>(copies) * in_[body].size > kInlineCopies &&
                         in_[body].kind != ExprKind::call;
    const uint32_t rule = as_rule ? rule_of_body(body) : 0;
    auto once = [&](uint32_t a, uint32_t b) {
      if (as_rule)
        call(a, rule, b);
      else
        work_.push_back({body, a, b});
    };
    for (int64_t i = 0; i < node.min; ++i) {
      const uint32_t next = i + 1 == node.max ? to : add_state();
      once(from, next);
      from = next;
    }
    if (node.max < 0) {
      const uint32_t loop = add_state();
      jump(from, loop);
      once(loop, loop);
      return jump(loop, to);
    }
    if (node.min == node.max) {
      if (node.max == 0) jump(from, to);
      return;
    }
    for (int64_t i = node.min; i < node.max; ++i) {
      jump(from, to);
      const uint32_t next = i + 1 == node.max ? to : add_state();
      once(from, next);
      from = next;
    }
  }

  uint32_t rule_of_body(Expr body) {
    if (const auto known = rule_of_body_.find(body); known != rule_of_body_.end()) return known->second;
    return rule_of_body_[body] = add_rule("(repeated part)", body);
  }

  void lay_graph(const Graph& graph, uint32_t from, uint32_t to) {
    std::vector<uint32_t> state(graph.n_states);
    for (uint32_t& s : state) s = add_state();
    jump(from, state[0]);
    for (const Graph::Edge& e : graph.edges) work_.push_back({e.label, state[e.from], state[e.to]});
    for (const uint32_t s : graph.accepting) jump(state[s], to);
  }

  const Expressions& in_;
  RawNetwork out_;
  std::vector<Piece> work_;
  std::map<CharSet, uint32_t> rule_of_set_;
  std::map<Expr, uint32_t> rule_of_body_;
};

}  // namespace

RawNetwork lay_out(const Expressions& expressions) { return Layout(expressions).run(); }

Network build_network(const Expressions& expressions, RuleId start) {
  return finish_network(lay_out(expressions), start);
}

}  // namespace fathom::grammar
