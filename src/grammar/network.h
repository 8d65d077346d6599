// The compiled form of a grammar: a recursive transition network over bytes. A rule is a set of states with one start
// and one end; an edge reads a byte of a range, jumps without reading, or calls a rule and goes on at `back` when the
// rule has come to its end.
//
// Built from expressions (expression.h): characters become their UTF-8 bytes, alternatives of literals become one trie,
// a body that is repeated many times becomes a rule of its own. What cannot be part of any text is cut away, so that
// with a vocabulary that has every byte each state can still come to an end.
#pragma once
#include <cstdint>
#include <span>
#include <vector>

#include "grammar/expression.h"

namespace fathom::grammar {

struct ByteEdge {
  uint32_t to;
  uint8_t first, last;  // both included
};
struct CallEdge {
  uint32_t rule, back;
};

class Network {
 public:
  struct Rule {
    uint32_t start, end;
    bool nullable;  // matches the empty text
    uint32_t rank;  // a rule that may call another before it has read a byte has the lower rank
  };

  std::span<const ByteEdge> bytes(uint32_t state) const noexcept { return cut(byte_edges_, byte_begin_, state); }
  std::span<const uint32_t> jumps(uint32_t state) const noexcept { return cut(jumps_, jump_begin_, state); }
  std::span<const CallEdge> calls(uint32_t state) const noexcept { return cut(calls_, call_begin_, state); }
  bool is_end(uint32_t state) const noexcept { return is_end_[state] != 0; }  // of its rule; has no edges
  const Rule& rule(uint32_t id) const noexcept { return rules_[id]; }
  uint32_t rule_of_rank(uint32_t rank) const noexcept { return by_rank_[rank]; }
  uint32_t start_rule() const noexcept { return start_rule_; }
  size_t n_states() const noexcept { return is_end_.size(); }
  size_t n_edges() const noexcept { return byte_edges_.size() + jumps_.size() + calls_.size(); }

 private:
  friend class NetworkAnalysis;

  template <class Edge>
  static std::span<const Edge> cut(const std::vector<Edge>& edges, const std::vector<uint32_t>& begin,
                                   uint32_t state) noexcept {
    return std::span(edges).subspan(begin[state], begin[state + 1] - begin[state]);
  }

  std::vector<ByteEdge> byte_edges_;
  std::vector<uint32_t> jumps_;
  std::vector<CallEdge> calls_;
  std::vector<uint32_t> byte_begin_, jump_begin_, call_begin_;  // (n_states + 1)
  std::vector<uint8_t> is_end_;
  std::vector<Rule> rules_;
  std::vector<uint32_t> by_rank_;
  uint32_t start_rule_ = 0;
};

// Refuses with a bad_input Error: a grammar that matches no text, one whose rules call themselves before they have read
// a byte (left recursion; the rules are named), and one that exceeds limits.h. Takes time linear in the result.
Network build_network(const Expressions& expressions, RuleId start);

}  // namespace fathom::grammar
