// Grammars in a form of their own, written out as GBNF for the code under test, and a recogniser of them that shares
// nothing with it: sets of stacks of what must still be read, expanded one symbol at a time. Slow, for short texts.
#pragma once
#include <fmt/format.h>

#include <set>
#include <string>
#include <vector>

#include "base/random.h"

namespace fathom::test {

// A symbol is a list of texts one of which is read, or a rule; it may stand once, 0 or 1 times, or any number of times.
struct PlainSymbol {
  std::vector<std::string> texts;  // empty: a rule
  size_t rule = 0;
  char repeat = '1';  // '1', '?', '*', '+'
};
using PlainSequence = std::vector<PlainSymbol>;
struct PlainGrammar {
  std::vector<std::vector<PlainSequence>> rules;  // the choices of each; the text begins with the first
};

inline std::string to_gbnf(const PlainGrammar& grammar) {
  std::string out;
  for (size_t r = 0; r < grammar.rules.size(); ++r) {
    out += r == 0 ? "root ::=" : fmt::format("r{} ::=", r);
    for (size_t c = 0; c < grammar.rules[r].size(); ++c) {
      out += c == 0 ? "" : " |";
      for (const PlainSymbol& s : grammar.rules[r][c]) {
        std::string what = s.rule == 0 ? "root" : fmt::format("r{}", s.rule);
        for (size_t t = 0; t < s.texts.size(); ++t) what = (t == 0 ? "(\"" : what + " | \"") + s.texts[t] + "\"";
        out += " " + what + (s.texts.empty() ? "" : ")") + (s.repeat == '1' ? "" : std::string(1, s.repeat));
      }
      if (grammar.rules[r][c].empty()) out += " \"\"";
    }
    out += "\n";
  }
  return out;
}

// Rules call rules, themselves too, behind a text that is read first or only such as come later: none is left
// recursive.
inline PlainGrammar random_grammar(uint64_t seed) {
  static const std::vector<std::string> pieces = {
      "a", "b", "ab", "ba", "aab", "c", "\xC3\xA9", "\xC3\xA8", "\xE4\xB8\x80", "a\xE4\xB8\x81", "\xF0\x9F\x98\x80"};
  uint64_t at = 0;
  auto below = [&](uint64_t n) { return static_cast<size_t>(philox(seed, 7, at++)[0] % n); };
  PlainGrammar out;
  out.rules.resize(1 + below(4));
  for (size_t r = 0; r < out.rules.size(); ++r) {
    out.rules[r].resize(1 + below(3));
    for (PlainSequence& sequence : out.rules[r]) {
      bool has_read = false;
      for (size_t n = below(5); n > 0; --n) {
        PlainSymbol s;
        s.repeat = "111?*+"[below(6)];
        const size_t from = has_read ? 0 : r + 1;
        if (below(3) == 0 && from < out.rules.size()) {
          s.rule = from + below(out.rules.size() - from);
        } else {
          for (size_t t = 1 + below(3); t > 0; --t) s.texts.push_back(pieces[below(pieces.size())]);
          has_read = has_read || s.repeat == '1' || s.repeat == '+';
        }
        sequence.push_back(s);
      }
    }
  }
  return out;
}

class PlainRecogniser {
 public:
  explicit PlainRecogniser(const PlainGrammar& grammar) : grammar_(grammar), productive_(grammar.rules.size(), false) {
    for (size_t round = 0; round <= grammar.rules.size(); ++round)
      for (size_t r = 0; r < grammar.rules.size(); ++r)
        for (const PlainSequence& s : grammar.rules[r]) productive_[r] = productive_[r] || can_end(s);
    stacks_ = expanded({{PlainSymbol{{}, 0, '1'}}});
  }

  bool productive() const { return productive_[0]; }
  bool too_large() const { return stacks_.size() > 60; }

  // False, and dead, when no text goes on like this.
  bool read(std::string_view bytes) {
    for (const char c : bytes) {
      std::set<Stack> next;
      for (Stack stack : stacks_) {
        if (stack.empty() || stack.back().texts[0][0] != c) continue;
        stack.back().texts[0].erase(0, 1);
        if (stack.back().texts[0].empty()) stack.pop_back();
        next.insert(stack);
      }
      stacks_ = expanded(next);
    }
    return !stacks_.empty();
  }
  bool complete() const { return stacks_.count({}) != 0; }

 private:
  struct Less {
    bool operator()(const PlainSymbol& a, const PlainSymbol& b) const {
      return std::tie(a.texts, a.rule, a.repeat) < std::tie(b.texts, b.rule, b.repeat);
    }
  };
  struct Stack : std::vector<PlainSymbol> {  // what is next stands last
    using std::vector<PlainSymbol>::vector;
    bool operator<(const Stack& o) const {
      return std::lexicographical_compare(begin(), end(), o.begin(), o.end(), Less());
    }
  };

  bool can_end(const PlainSequence& sequence) const {
    for (const PlainSymbol& s : sequence)
      if (s.texts.empty() && !productive_[s.rule] && (s.repeat == '1' || s.repeat == '+')) return false;
    return true;
  }

  // Until one text stands at the top of each stack.
  std::set<Stack> expanded(std::set<Stack> work) const {
    std::set<Stack> out, seen;
    while (!work.empty()) {
      const Stack stack = *work.begin();
      work.erase(work.begin());
      if (!seen.insert(stack).second) continue;
      if (stack.empty() || (stack.back().texts.size() == 1 && stack.back().repeat == '1')) {
        if (stack.empty() || !stack.back().texts[0].empty()) out.insert(stack);
        continue;
      }
      Stack rest(stack.begin(), stack.end() - 1);
      PlainSymbol once = stack.back();
      const char repeat = once.repeat;
      once.repeat = '1';
      if (repeat == '?' || repeat == '*') work.insert(rest);
      if (repeat == '*' || repeat == '+') {
        rest.push_back(stack.back());
        rest.back().repeat = '*';
      }
      for (const std::string& text : once.texts) {
        Stack more = rest;
        more.push_back({{text}, 0, '1'});
        work.insert(more);
      }
      if (!once.texts.empty()) continue;
      for (const PlainSequence& sequence : grammar_.rules[once.rule]) {
        if (!can_end(sequence)) continue;
        Stack more = rest;
        for (auto s = sequence.rbegin(); s != sequence.rend(); ++s)
          if (!s->texts.empty() || productive_[s->rule]) more.push_back(*s);
        work.insert(more);
      }
    }
    return out;
  }

  const PlainGrammar& grammar_;
  std::vector<bool> productive_;
  std::set<Stack> stacks_;
};

}  // namespace fathom::test
