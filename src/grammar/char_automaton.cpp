#include "grammar/char_automaton.h"

#include <algorithm>
#include <map>

#include "base/error.h"
#include "grammar/limits.h"

namespace fathom::grammar {
namespace {

void check_states(uint64_t n, const std::string& where) {
  if (n > kMaxRegexStates)
    throw_bad_input("{}: it needs more than {} states, the limit; use smaller repetitions and lengths", where,
                    kMaxRegexStates);
}

// The same method as network_layout.cpp, over characters.
class CharLayout {
 public:
  CharLayout(const Expressions& expressions, std::string where) : in_(expressions) { out_.where = std::move(where); }

  CharAutomaton run(Expr text) {
    const uint32_t end = add_state();
    out_.accepting = {end};
    work_.push_back({text, 0, end});
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
    check_states(out_.n_states + 1u, out_.where);
    return out_.n_states++;
  }
  void edge(uint32_t from, int32_t set, uint32_t to) {
    check_states(out_.edges.size() / 16, out_.where);
    out_.edges.push_back({from, to, set});
  }
  int32_t set_index(const CharSet& set) {
    const auto [place, is_new] = index_of_.try_emplace(set, static_cast<int32_t>(out_.sets.size()));
    if (is_new) out_.sets.push_back(set);
    return place->second;
  }

  void lay(const Piece& p) {
    const ExprNode& node = in_[p.expr];
    switch (node.kind) {
      case ExprKind::literal:
        return lay_literal(node.bytes, p.from, p.to);
      case ExprKind::chars:
        return edge(p.from, set_index(node.set), p.to);
      case ExprKind::sequence:
        return lay_sequence(node.children, p.from, p.to);
      case ExprKind::alternatives:
        for (const Expr e : node.children) work_.push_back({e, p.from, p.to});
        return;
      case ExprKind::repeat:
        return lay_repeat(node, p.from, p.to);
      case ExprKind::text_begin:
        return edge(p.from, CharAutomaton::kBegin, p.to);
      case ExprKind::text_end:
        return edge(p.from, CharAutomaton::kEnd, p.to);
      case ExprKind::call:
      case ExprKind::graph:
        break;
    }
    check(false, "a regular expression calls no rule");
  }

  void lay_literal(std::string_view bytes, uint32_t from, uint32_t to) {
    for (const char c : bytes) {
      const auto code = static_cast<uint32_t>(static_cast<unsigned char>(c));
      const uint32_t next = add_state();
      edge(from, set_index(CharSet{{code, code}}), next);
      from = next;
    }
    edge(from, CharAutomaton::kJump, to);
  }

  void lay_sequence(const std::vector<Expr>& parts, uint32_t from, uint32_t to) {
    for (const Expr part : parts) {
      const uint32_t next = add_state();
      work_.push_back({part, from, next});
      from = next;
    }
    edge(from, CharAutomaton::kJump, to);
  }

  void lay_repeat(const ExprNode& node, uint32_t from, uint32_t to) {
    const Expr body = node.children[0];
    auto once = [&] {
      const uint32_t next = add_state();
      work_.push_back({body, from, next});
      from = next;
    };
    for (int64_t i = 0; i < node.min; ++i) once();
    if (node.max < 0) {
      const uint32_t loop = add_state();
      edge(from, CharAutomaton::kJump, loop);
      work_.push_back({body, loop, loop});
      from = loop;
    }
    for (int64_t i = node.min; i < node.max; ++i) {
      edge(from, CharAutomaton::kJump, to);
      once();
    }
    edge(from, CharAutomaton::kJump, to);
  }

  const Expressions& in_;
  CharAutomaton out_;
  std::vector<Piece> work_;
  std::map<CharSet, int32_t> index_of_;
};

// States that lie on a way from the begin to an accepting one, numbered anew; edges and states beyond are dropped.
CharAutomaton trimmed(CharAutomaton in) {
  auto reach = [&](std::vector<uint32_t> work, bool backwards) {
    std::vector<std::vector<uint32_t>> next(in.n_states);
    for (const auto& e : in.edges) next[backwards ? e.to : e.from].push_back(backwards ? e.from : e.to);
    std::vector<uint8_t> seen(in.n_states, 0);
    for (const uint32_t s : work) seen[s] = 1;
    while (!work.empty()) {
      const uint32_t state = work.back();
      work.pop_back();
      for (const uint32_t to : next[state]) {
        if (!seen[to]) work.push_back(to);
        seen[to] = 1;
      }
    }
    return seen;
  };
  const auto forwards = reach({0}, false), backwards = reach(in.accepting, true);
  std::vector<uint32_t> number(in.n_states, 0);
  uint32_t n = 1;  // state 0 stays, though nothing may match
  for (uint32_t s = 1; s < in.n_states; ++s)
    if (forwards[s] && backwards[s]) number[s] = n++;
  auto lost = [&](uint32_t s) { return s != 0 && number[s] == 0; };
  std::erase_if(in.edges, [&](const auto& e) { return lost(e.from) || lost(e.to); });
  std::erase_if(in.accepting, lost);
  for (auto& e : in.edges) e = {number[e.from], number[e.to], e.set};
  for (uint32_t& s : in.accepting) s = number[s];
  in.n_states = n;
  return in;
}

// A copy of `in` for each of the four answers to: has a character been read, has $ been passed. ^ leads on only before
// the first character, and after $ no character is read.
CharAutomaton without_anchors(const CharAutomaton& in) {
  const bool anchored =
      std::any_of(in.edges.begin(), in.edges.end(), [](const auto& e) { return e.set < CharAutomaton::kJump; });
  if (!anchored) return in;
  check_states(uint64_t{4} * in.n_states, in.where);
  CharAutomaton out{.where = in.where, .n_states = 4 * in.n_states, .edges = {}, .sets = in.sets, .accepting = {}};
  for (uint32_t has_read = 0; has_read < 2; ++has_read) {
    for (uint32_t ended = 0; ended < 2; ++ended) {
      auto copy = [&](uint32_t state, uint32_t read, uint32_t end) { return 4 * state + 2 * read + end; };
      for (const auto& e : in.edges) {
        const uint32_t from = copy(e.from, has_read, ended);
        if (e.set >= 0 && !ended) out.edges.push_back({from, copy(e.to, 1, 0), e.set});
        if (e.set == CharAutomaton::kJump || (e.set == CharAutomaton::kBegin && !has_read))
          out.edges.push_back({from, copy(e.to, has_read, ended), CharAutomaton::kJump});
        if (e.set == CharAutomaton::kEnd) out.edges.push_back({from, copy(e.to, has_read, 1), CharAutomaton::kJump});
      }
      for (const uint32_t s : in.accepting) out.accepting.push_back(copy(s, has_read, ended));
    }
  }
  return trimmed(std::move(out));
}

}  // namespace

CharAutomaton CharAutomaton::whole() const { return without_anchors(*this); }

CharAutomaton CharAutomaton::containing() const {
  CharAutomaton out = *this;
  const auto any = static_cast<int32_t>(out.sets.size());
  out.sets.push_back(CharSet::all());
  // What is in front needs a state of its own: state 0 may have edges into it. It becomes the first.
  for (Edge& e : out.edges) e = {e.from + 1, e.to + 1, e.set};
  out.n_states += 2;
  const uint32_t behind = out.n_states - 1;
  out.edges.push_back({0, 0, any});
  out.edges.push_back({0, 1, kJump});
  for (const uint32_t s : accepting) out.edges.push_back({s + 1, behind, kJump});
  out.edges.push_back({behind, behind, any});
  out.accepting = {behind};
  return without_anchors(out);
}

CharAutomaton CharAutomaton::of_length(int64_t min, int64_t max) const {
  const auto counts = static_cast<uint64_t>((max < 0 ? min : max) + 1);  // beyond the minimum all lengths are alike
  check_states(counts * n_states, where);
  CharAutomaton out{
      .where = where, .n_states = static_cast<uint32_t>(counts * n_states), .edges = {}, .sets = sets, .accepting = {}};
  for (uint32_t count = 0; count < counts; ++count) {
    auto copy = [&](uint32_t state, uint64_t read) { return static_cast<uint32_t>(read * n_states + state); };
    const uint64_t more = max < 0 ? std::min<uint64_t>(count + 1, counts - 1) : count + 1;
    for (const Edge& e : edges) {
      if (e.set == kJump) out.edges.push_back({copy(e.from, count), copy(e.to, count), kJump});
      if (e.set >= 0 && more < counts) out.edges.push_back({copy(e.from, count), copy(e.to, more), e.set});
    }
    for (const uint32_t s : accepting)
      if (count >= static_cast<uint64_t>(min)) out.accepting.push_back(copy(s, count));
  }
  return trimmed(std::move(out));
}

CharAutomaton char_automaton(const Expressions& expressions, Expr text, std::string where) {
  return CharLayout(expressions, std::move(where)).run(text);
}

Expr utf8_text(const CharAutomaton& automaton, Expressions& out) {
  return text_of(automaton, out, [&](const CharSet& set) { return out.chars(set); });
}

}  // namespace fathom::grammar
