// The second half of build_network: what can be part of a text at all, which rules match the empty text, in what order
// rules call each other before a byte is read; then edges sorted by state.
#include "grammar/network.h"

#include <algorithm>

#include "base/error.h"
#include "grammar/network_parts.h"

namespace fathom::grammar {
namespace {

constexpr int kMaxHops = 64;  // along jumps; a circle of them ends there

}  // namespace

class NetworkAnalysis {
 public:
  NetworkAnalysis(RawNetwork raw, uint32_t start_rule) : raw_(std::move(raw)) { out_.start_rule_ = start_rule; }

  Network run() {
    const std::vector<uint8_t> alive = can_reach_end(/*reading=*/true);
    if (!alive[raw_.rules[out_.start_rule_].start])
      throw_bad_input("the grammar matches no text at all: some part that every text needs can never come to an end");
    std::erase_if(raw_.edges, [&](const RawEdge& e) {
      return !alive[e.from] || !alive[e.to] || (e.kind == EdgeKind::call && !alive[raw_.rules[e.rule].start]);
    });
    const std::vector<uint8_t> empty = can_reach_end(/*reading=*/false);
    for (const RawRule& r : raw_.rules) out_.rules_.push_back({r.start, r.end, empty[r.start] != 0, 0});
    out_.is_end_.assign(raw_.n_states, 0);
    for (const RawRule& r : raw_.rules) out_.is_end_[r.end] = 1;
    sort_edges();
    rank_rules();
    return std::move(out_);
  }

 private:
  // For each state, whether it reaches the end of its rule; without reading: by jumps and rules that match "" alone.
  std::vector<uint8_t> can_reach_end(bool reading) const {
    const auto [begin, into] = edges_by([](const RawEdge& e) { return e.to; }, raw_.n_states, false);
    const auto [rule_begin, of_rule] = edges_by([](const RawEdge& e) { return e.rule; }, raw_.rules.size(), true);
    std::vector<uint32_t> rule_of_start(raw_.n_states, kNone);
    for (size_t r = 0; r < raw_.rules.size(); ++r) rule_of_start[raw_.rules[r].start] = static_cast<uint32_t>(r);
    std::vector<uint8_t> reaches(raw_.n_states, 0);
    std::vector<uint32_t> work;
    auto mark = [&](uint32_t state) {
      if (!reaches[state]) work.push_back(state);
      reaches[state] = 1;
    };
    for (const RawRule& r : raw_.rules) mark(r.end);
    while (!work.empty()) {
      const uint32_t state = work.back();
      work.pop_back();
      for (uint32_t i = begin[state]; i < begin[state + 1]; ++i) {
        const RawEdge& e = raw_.edges[into[i]];
        if (e.kind == EdgeKind::byte ? reading : e.kind == EdgeKind::jump || reaches[raw_.rules[e.rule].start])
          mark(e.from);
      }
      if (const uint32_t rule = rule_of_start[state]; rule != kNone)
        for (uint32_t i = rule_begin[rule]; i < rule_begin[rule + 1]; ++i)
          if (const RawEdge& e = raw_.edges[of_rule[i]]; reaches[e.to]) mark(e.from);
    }
    return reaches;
  }

  // Indices of the edges (of the calls) grouped by a key: group k lies at begin[k] .. begin[k + 1].
  template <class Key>
  std::pair<std::vector<uint32_t>, std::vector<uint32_t>> edges_by(Key key, size_t n_keys, bool calls_only) const {
    std::vector<uint32_t> begin(n_keys + 1, 0), order;
    auto counts = [&](const RawEdge& e) { return !calls_only || e.kind == EdgeKind::call; };
    for (const RawEdge& e : raw_.edges)
      if (counts(e)) ++begin[key(e) + 1];
    for (size_t k = 0; k < n_keys; ++k) begin[k + 1] += begin[k];
    order.resize(begin.back());
    std::vector<uint32_t> next = begin;
    for (size_t i = 0; i < raw_.edges.size(); ++i)
      if (counts(raw_.edges[i])) order[next[key(raw_.edges[i])]++] = static_cast<uint32_t>(i);
    return {std::move(begin), std::move(order)};
  }

  void sort_edges() {
    const auto [begin, order] = edges_by([](const RawEdge& e) { return e.from; }, raw_.n_states, false);
    // Where a state leads on by one jump and nothing else, edges lead to where it leads.
    std::vector<uint32_t> leads_to(raw_.n_states);
    for (uint32_t s = 0; s < raw_.n_states; ++s) {
      const bool only_jump = begin[s + 1] - begin[s] == 1 && raw_.edges[order[begin[s]]].kind == EdgeKind::jump;
      leads_to[s] = only_jump ? raw_.edges[order[begin[s]]].to : s;
    }
    auto target = [&](uint32_t state) {
      for (int hop = 0; hop < kMaxHops && leads_to[state] != state; ++hop) state = leads_to[state];
      return state;
    };
    for (uint32_t s = 0; s < raw_.n_states; ++s) {
      note_begins();
      for (uint32_t i = begin[s]; i < begin[s + 1]; ++i) {
        const RawEdge& e = raw_.edges[order[i]];
        const uint32_t to = target(e.to);
        if (e.kind == EdgeKind::byte) out_.byte_edges_.push_back({to, e.first, e.last});
        if (e.kind == EdgeKind::jump) out_.jumps_.push_back(to);
        if (e.kind == EdgeKind::call) out_.calls_.push_back({e.rule, to});
      }
    }
    note_begins();
  }
  void note_begins() {
    out_.byte_begin_.push_back(static_cast<uint32_t>(out_.byte_edges_.size()));
    out_.jump_begin_.push_back(static_cast<uint32_t>(out_.jumps_.size()));
    out_.call_begin_.push_back(static_cast<uint32_t>(out_.calls_.size()));
  }

  // The rules that a rule may call before it has read a byte.
  std::vector<uint32_t> first_calls(uint32_t rule, std::vector<uint32_t>& seen_by) const {
    std::vector<uint32_t> out, work = {out_.rules_[rule].start};
    while (!work.empty()) {
      const uint32_t state = work.back();
      work.pop_back();
      if (seen_by[state] == rule) continue;
      seen_by[state] = rule;
      for (const uint32_t to : out_.jumps(state)) work.push_back(to);
      for (const CallEdge& c : out_.calls(state)) {
        out.push_back(c.rule);
        if (out_.rules_[c.rule].nullable) work.push_back(c.back);
      }
    }
    std::sort(out.begin(), out.end());
    out.erase(std::unique(out.begin(), out.end()), out.end());
    return out;
  }

  // Depth first; a rule is ranked when all that it calls have been, from the highest rank down.
  void rank_rules() {
    const auto n = static_cast<uint32_t>(out_.rules_.size());
    std::vector<uint32_t> seen_by(raw_.n_states, kNone);
    std::vector<std::vector<uint32_t>> calls(n);
    for (uint32_t r = 0; r < n; ++r) calls[r] = first_calls(r, seen_by);
    enum : uint8_t { unseen, open, done };
    std::vector<uint8_t> mark(n, unseen);
    std::vector<uint32_t> next(n, 0), path;
    out_.by_rank_.resize(n);
    uint32_t rank = n;
    for (uint32_t root = 0; root < n; ++root) {
      if (mark[root] == unseen) path.push_back(root);
      while (!path.empty()) {
        const uint32_t rule = path.back();
        mark[rule] = open;
        if (next[rule] == calls[rule].size()) {
          mark[rule] = done;
          out_.rules_[rule].rank = --rank;
          out_.by_rank_[rank] = rule;
          path.pop_back();
          continue;
        }
        const uint32_t callee = calls[rule][next[rule]++];
        if (mark[callee] == open) refuse_circle(path, callee);
        if (mark[callee] == unseen) path.push_back(callee);
      }
    }
  }

  [[noreturn]] void refuse_circle(const std::vector<uint32_t>& path, uint32_t back_to) const {
    std::string names;
    const auto from = std::find(path.begin(), path.end(), back_to);
    int listed = 0;
    for (auto at = from; at != path.end(); ++at) {
      const std::string& name = raw_.rules[*at].name;
      if (name.front() == '(' || ++listed > 8) continue;  // parts that have no name of their own; long circles
      names += quoted_for_message(name) + " calls ";
    }
    throw_bad_input(
        "left recursion: {}{} again before any text has been read; put the part that reads text first, or "
        "write the repetition as (...)*",
        names, names.empty() ? "a repeated part calls itself" : quoted_for_message(raw_.rules[back_to].name));
  }

  static constexpr uint32_t kNone = UINT32_MAX;
  RawNetwork raw_;
  Network out_;
};

Network finish_network(RawNetwork raw, uint32_t start_rule) {
  return NetworkAnalysis(std::move(raw), start_rule).run();
}

}  // namespace fathom::grammar
