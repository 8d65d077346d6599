// The tree of a parsed template. Nodes live in the Program's lists and point at each other, so that a tree of any shape
// is destroyed without recursion. The depth of every expression is counted while it is built: the interpreter's
// recursion is bounded by what the parser let through.
#pragma once
#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "jinja/value.h"

namespace fathom::jinja {

enum class ExprKind {
  constant,  // value
  name,      // name
  list,
  tuple,      // args
  dict,       // args: key, value, key, value, ...
  attribute,  // args[0].name
  item,       // args[0][args[1]]
  slice,      // args[0][args[1]:args[2]:args[3]]; nullptr where left out
  call,       // args[0](args[1...], named...)
  filter,
  test,  // args[0] | name(args[1...], named...)
  negate,
  plus,
  logical_not,
  logical_and,
  logical_or,
  compare,      // args[0] ops[0] args[1] ops[1] args[2] ...
  binary,       // args[0] ops[0] args[1]: + - * / // %
  concat,       // args joined as text
  conditional,  // args[1] if args[0] else args[2]; nullptr when there is no else
};

struct Expr {
  ExprKind kind = ExprKind::constant;
  int line = 1;
  int depth = 1;
  Value value;
  std::string name;
  std::vector<const Expr*> args;
  std::vector<std::pair<std::string, const Expr*>> named;
  std::vector<std::string> ops;
};

// The name under which the filters of a block find what it has written; no template can spell it.
inline const std::string kWritten;

enum class StatementKind {
  text,          // text
  output,        // expr
  branch,        // branches in order; a branch without condition is the else
  loop,          // for targets in expr if condition: body else otherwise
  assign,        // targets = expr
  assign_block,  // target = what body writes, through the filters of expr when there is one
  filter_block,  // what body writes, through the filters of expr
  macro,         // text.bytes(parameters): body
  scope,         // body (the generation block of transformers)
  leave_loop,
  next_iteration,
};

struct Statement;
using Block = std::vector<const Statement*>;

// A name, or a field of a namespace.
struct Target {
  std::string name, field;
};

struct Statement {
  StatementKind kind = StatementKind::text;
  int line = 1;
  Text text;
  const Expr* expr = nullptr;
  const Expr* condition = nullptr;
  std::vector<Target> targets;
  bool unpacks = false;  // the targets are a tuple: the value must have as many items
  std::vector<std::pair<const Expr*, Block>> branches;
  std::vector<std::pair<std::string, const Expr*>> parameters;  // nullptr: no default
  Block body, otherwise;
};

struct Program {
  std::deque<Expr> exprs;
  std::deque<Statement> statements;
  std::vector<std::string> owned;  // undefined at the start, whatever the caller gave (jinja_names.h)
  Block body;
};

}  // namespace fathom::jinja
