// Which value a name has where a template reads it: a corner of jinja2 in which it is not what the template seems to
// say.
//
// jinja2 decides when it compiles. A name that a scope sets (outside of an if) before that scope itself has read it
// counts as the scope's own from the start, and is undefined until it is set, even when the caller gave a variable of
// that name:
//     {% for x in xs %}{{ bos_token }}{% endfor %}{% set bos_token = 'b' %}      prints nothing in the loop
// because the loop's body is a scope within. We look a name up when it is read, and refuse templates in which the two
// differ. The body of a macro is read when it is called: a name that the template sets behind the macro is its own
// there from the start (owned()), and undefined in calls that come too early. (Source: FrameSymbolVisitor and Symbols
// of jinja2/idtracking.py.)
#pragma once
#include <initializer_list>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "jinja/text.h"

namespace fathom::jinja {

// Told of every name in the order of the source.
class NameUse {
 public:
  NameUse() { enter({}); }

  void enter(std::initializer_list<std::string_view> own) { scopes_.push_back({{own.begin(), own.end()}, {}, {}, 0}); }
  void enter_macro() {
    enter({});
    scopes_.back().is_macro = true;
  }
  void own(const std::string& name) { scopes_.back().known.insert(name); }
  void leave() { scopes_.pop_back(); }
  void enter_if() { ++scopes_.back().ifs; }
  void leave_if() { --scopes_.back().ifs; }
  size_t depth() const { return scopes_.size(); }

  void read(const std::string& name) {
    if (is_known(name)) return;
    bool in_macro = false;
    for (size_t i = scopes_.size() - 1; i > 0; --i) {
      in_macro = in_macro || scopes_[i].is_macro;
      (in_macro ? scopes_[i - 1].read_in_macros : scopes_[i - 1].read_within).insert(name);
    }
    scopes_.back().known.insert(name);
  }

  void set(const std::string& name) {
    if (is_known(name)) return;
    Scope& scope = scopes_.back();
    if (scope.ifs == 0 && scope.read_within.count(name) > 0)
      refuse("'{}' is read in an inner block before it is set around that block", name);
    if (scope.ifs == 0 && scope.read_in_macros.count(name) > 0) owned_.insert(name);
    scope.known.insert(name);
  }

  // Names that are the template's own, whatever the caller gave, before they are set.
  const std::set<std::string, std::less<>>& owned() const { return owned_; }

 private:
  struct Scope {
    std::set<std::string, std::less<>> known, read_within, read_in_macros;
    int ifs = 0;
    bool is_macro = false;
  };
  bool is_known(const std::string& name) const {
    for (const Scope& scope : scopes_)
      if (scope.known.count(name) > 0) return true;
    return false;
  }

  std::vector<Scope> scopes_;
  std::set<std::string, std::less<>> owned_;
};

}  // namespace fathom::jinja
