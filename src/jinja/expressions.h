// The expressions of a template: the half of the parser that knows no tags (jinja_parser.cpp).
//
// One function for each level of jinja2's grammar, from the loosest operator to the tightest. Nesting that the source
// controls passes through Level, chains are bounded by Expr::depth.
#pragma once
#include <algorithm>
#include <array>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "jinja/lexer.h"
#include "jinja/names.h"
#include "jinja/parser.h"

namespace fathom::jinja {

class ExpressionParser {
 public:
  ExpressionParser(std::vector<Token> tokens, Program& program) : tokens_(std::move(tokens)), program_(program) {}

  int line() const { return now().line; }

 protected:
  // --- tokens

  const Token& now() const { return tokens_[at_]; }
  const Token& next() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  Token take() {
    Token token = now();
    if (at_ + 1 < tokens_.size()) ++at_;
    return token;
  }
  bool at_op(std::string_view op) const { return now().kind == TokenKind::op && now().text == op; }
  bool at_word(std::string_view word) const { return now().kind == TokenKind::name && now().text == word; }
  bool skip_op(std::string_view op) { return at_op(op) && (take(), true); }
  bool skip_word(std::string_view word) { return at_word(word) && (take(), true); }
  void expect_op(std::string_view op) {
    if (!skip_op(op)) fault("expected '{}', found {}", op, describe(now()));
  }
  void check_at(TokenKind kind, const char* what) const {
    if (now().kind != kind) fault("expected {}, found {}", what, describe(now()));
  }
  std::string expect_name() {
    check_at(TokenKind::name, "a name");
    return take().text;
  }

  static std::string describe(const Token& token) {
    switch (token.kind) {
      case TokenKind::end:
        return "the end of the template";
      case TokenKind::block_end:
        return "'%}'";
      case TokenKind::variable_end:
        return "'}}'";
      case TokenKind::integer:
      case TokenKind::real:
        return "a number";
      case TokenKind::string:
        return "a string";
      default:
        return quoted_for_message(token.text);
    }
  }

  // --- nodes

  // One level of recursion of the parser, which the source controls.
  class Level {
   public:
    explicit Level(int& depth) : depth_(depth) {
      if (++depth_ > kMaxSourceNesting * 2) refuse("nesting deeper than {} in a template", kMaxSourceNesting);
    }
    ~Level() { --depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    int& depth_;
  };

  Expr& make(ExprKind kind, int line, std::vector<const Expr*> args = {}) {
    Expr& e = program_.exprs.emplace_back();
    e.kind = kind;
    e.line = line;
    e.args = std::move(args);
    measure(e);
    return e;
  }
  static void measure(Expr& e) {
    for (const Expr* arg : e.args)
      if (arg != nullptr) e.depth = std::max(e.depth, arg->depth + 1);
    for (const auto& [name, arg] : e.named) e.depth = std::max(e.depth, arg->depth + 1);
    if (e.depth > kMaxExprDepth) refuse("an expression more than {} operators deep", kMaxExprDepth);
  }
  Expr& constant(int line, Value value) {
    Expr& e = make(ExprKind::constant, line);
    e.value = std::move(value);
    return e;
  }

  // --- expressions, from the loosest operator to the tightest

  const Expr* expression() {
    const Level level(depth_);
    const int line = now().line;
    const Expr* e = logical_or();
    while (skip_word("if")) {
      const Expr* condition = logical_or();
      const Expr* otherwise = skip_word("else") ? expression() : nullptr;
      e = &make(ExprKind::conditional, line, {condition, e, otherwise});
    }
    return e;
  }

  const Expr* logical_or() {
    const Expr* e = logical_and();
    while (at_word("or")) {
      const int line = take().line;
      e = &make(ExprKind::logical_or, line, {e, logical_and()});
    }
    return e;
  }

  const Expr* logical_and() {
    const Expr* e = logical_not();
    while (at_word("and")) {
      const int line = take().line;
      e = &make(ExprKind::logical_and, line, {e, logical_not()});
    }
    return e;
  }

  const Expr* logical_not() {
    if (!at_word("not")) return comparison();
    const Level level(depth_);
    const int line = take().line;
    return &make(ExprKind::logical_not, line, {logical_not()});
  }

  std::string comparison_op() {
    static constexpr std::array<std::string_view, 6> kOps = {"==", "!=", "<", "<=", ">", ">="};
    if (now().kind == TokenKind::op && std::find(kOps.begin(), kOps.end(), now().text) != kOps.end())
      return take().text;
    if (skip_word("in")) return "in";
    if (at_word("not") && next().kind == TokenKind::name && next().text == "in") {
      take();
      take();
      return "not in";
    }
    return {};
  }

  const Expr* comparison() {
    const int line = now().line;
    std::vector<const Expr*> args = {sum()};
    std::vector<std::string> ops;
    for (std::string op = comparison_op(); !op.empty(); op = comparison_op()) {
      ops.push_back(std::move(op));
      args.push_back(sum());
    }
    if (ops.empty()) return args[0];
    Expr& e = make(ExprKind::compare, line, std::move(args));
    e.ops = std::move(ops);
    return &e;
  }

  template <class Operand>
  const Expr* left_chain(std::initializer_list<std::string_view> ops, const Operand& operand) {
    const Expr* e = operand();
    while (now().kind == TokenKind::op && std::find(ops.begin(), ops.end(), now().text) != ops.end()) {
      const Token op = take();
      Expr& pair = make(ExprKind::binary, op.line, {e, operand()});
      pair.ops.push_back(op.text);
      e = &pair;
    }
    return e;
  }

  const Expr* sum() {
    return left_chain({"+", "-"}, [this] { return concatenation(); });
  }
  const Expr* concatenation() {
    const int line = now().line;
    std::vector<const Expr*> args = {product()};
    while (skip_op("~")) args.push_back(product());
    return args.size() == 1 ? args[0] : &make(ExprKind::concat, line, std::move(args));
  }
  const Expr* product() {
    return left_chain({"*", "/", "//", "%"}, [this] { return unary(true); });
  }

  const Expr* unary(bool with_filters) {
    const Level level(depth_);
    const Token token = now();
    const Expr* e = nullptr;
    if (skip_op("-"))
      e = &make(ExprKind::negate, token.line, {unary(false)});
    else if (skip_op("+"))
      e = &make(ExprKind::plus, token.line, {unary(false)});
    else
      e = primary();
    e = postfix(e);
    if (with_filters) e = filters(e);
    if (at_op("**")) refuse("the operator '**'");
    return e;
  }

  const Expr* primary() {
    const Token token = take();
    switch (token.kind) {
      case TokenKind::name:
        return name_or_literal(token);
      case TokenKind::integer:
        return &constant(token.line, token.integer);
      case TokenKind::real:
        return &constant(token.line, token.real);
      case TokenKind::string: {
        std::string text = token.text;  // 'a' 'b' is 'ab'
        while (now().kind == TokenKind::string) text += take().text;
        return &constant(token.line, Text(text));
      }
      default:
        break;
    }
    if (token.kind != TokenKind::op) fault("expected an expression, found {}", describe(token));
    if (token.text == "(") return parenthesized(token.line);
    if (token.text == "[") return &make(ExprKind::list, token.line, items_until("]"));
    if (token.text == "{") return dict_literal(token.line);
    fault("expected an expression, found '{}'", token.text);
  }

  const Expr* name_or_literal(const Token& token) {
    const std::string& s = token.text;
    if (s == "true" || s == "True") return &constant(token.line, true);
    if (s == "false" || s == "False") return &constant(token.line, false);
    if (s == "none" || s == "None") return &constant(token.line, Value());
    static constexpr std::array<std::string_view, 5> kRefused = {"self", "super", "caller", "varargs", "kwargs"};
    if (std::find(kRefused.begin(), kRefused.end(), s) != kRefused.end()) refuse("the name '{}'", s);
    static constexpr std::array<std::string_view, 8> kKeywords = {"and", "or", "not", "if", "else", "elif", "in", "is"};
    if (std::find(kKeywords.begin(), kKeywords.end(), s) != kKeywords.end())
      fault("expected an expression, found '{}'", s);
    names_.read(s);
    Expr& e = make(ExprKind::name, token.line);
    e.name = s;
    return &e;
  }

  std::vector<const Expr*> items_until(std::string_view close) {
    std::vector<const Expr*> items;
    while (!at_op(close)) {
      items.push_back(expression());
      if (!skip_op(",")) break;
    }
    expect_op(close);
    return items;
  }

  const Expr* parenthesized(int line) {
    if (skip_op(")")) return &make(ExprKind::tuple, line);
    const Expr* first = expression();
    if (skip_op(")")) return first;
    expect_op(",");
    std::vector<const Expr*> items = items_until(")");
    items.insert(items.begin(), first);
    return &make(ExprKind::tuple, line, std::move(items));
  }

  const Expr* dict_literal(int line) {
    std::vector<const Expr*> pairs;
    while (!at_op("}")) {
      pairs.push_back(expression());
      expect_op(":");
      pairs.push_back(expression());
      if (!skip_op(",")) break;
    }
    expect_op("}");
    return &make(ExprKind::dict, line, std::move(pairs));
  }

  const Expr* postfix(const Expr* e) {
    while (true) {
      const int line = now().line;
      if (skip_op("."))
        e = attribute(e, line);
      else if (skip_op("["))
        e = subscript(e, line);
      else if (at_op("("))
        e = call(e);
      else
        return e;
    }
  }

  const Expr* attribute(const Expr* object, int line) {
    if (now().kind == TokenKind::integer) return &make(ExprKind::item, line, {object, &constant(line, take().integer)});
    Expr& e = make(ExprKind::attribute, line, {object});
    e.name = expect_name();
    return &e;
  }

  const Expr* subscript(const Expr* object, int line) {
    const Expr* parts[3] = {nullptr, nullptr, nullptr};
    int colons = 0;
    if (!at_op(":")) parts[0] = expression();
    while (colons < 2 && skip_op(":")) {
      ++colons;
      if (!at_op(":") && !at_op("]")) parts[colons] = expression();
    }
    if (at_op(",")) refuse("several indices in one pair of brackets");
    expect_op("]");
    if (colons == 0) return &make(ExprKind::item, line, {object, parts[0]});
    return &make(ExprKind::slice, line, {object, parts[0], parts[1], parts[2]});
  }

  // "(" arguments ")" into e.
  void arguments(Expr& e) {
    expect_op("(");
    while (!at_op(")")) {
      if (at_op("*") || at_op("**")) refuse("'*' in a call");
      if (now().kind == TokenKind::name && next().kind == TokenKind::op && next().text == "=") {
        const std::string name = take().text;
        take();
        if (std::any_of(e.named.begin(), e.named.end(), [&](const auto& p) { return p.first == name; }))
          fault("the argument '{}' is given twice", name);
        if (e.named.size() == 256) refuse("more than 256 named arguments");
        e.named.emplace_back(name, expression());
      } else {
        if (!e.named.empty()) fault("an argument without name follows one with a name");
        e.args.push_back(expression());
      }
      if (!skip_op(",")) break;
    }
    expect_op(")");
    measure(e);
  }

  const Expr* call(const Expr* callee) {
    Expr& e = make(ExprKind::call, now().line, {callee});
    arguments(e);
    return &e;
  }

  const Expr* filters(const Expr* e) {
    while (true) {
      if (skip_op("|"))
        e = filter(e);
      else if (skip_word("is"))
        e = test(e);
      else if (at_op("("))
        e = call(e);
      else
        return e;
    }
  }

  const Expr* filter(const Expr* subject) {
    Expr& e = make(ExprKind::filter, now().line, {subject});
    e.name = expect_name();
    if (at_op("(")) arguments(e);
    return &e;
  }

  // "x is divisibleby 3" and "x is divisibleby(3)" are the same.
  const Expr* test(const Expr* subject) {
    const bool negated = skip_word("not");
    Expr& e = make(ExprKind::test, now().line, {subject});
    e.name = expect_name();
    const TokenKind kind = now().kind;
    if (at_op("(")) {
      arguments(e);
    } else if (kind == TokenKind::string || kind == TokenKind::integer || kind == TokenKind::real || at_op("[") ||
               at_op("{") || (kind == TokenKind::name && !at_word("else") && !at_word("or") && !at_word("and"))) {
      if (at_word("is")) fault("tests with 'is' cannot be chained");
      if (at_word("if") || at_word("not") || at_word("in"))
        refuse("'{}' right behind a test; put it in parentheses", now().text);
      const Level level(depth_);
      e.args.push_back(postfix(primary()));
      measure(e);
    }
    return negated ? &make(ExprKind::logical_not, e.line, {&e}) : &e;
  }

  // What stands behind "in", "=" or "if": an expression, or a tuple without parentheses. Behind "in" and "if", "x if y
  // else z" needs parentheses.
  const Expr* tuple_or(bool conditionals) {
    const auto item = [&] { return conditionals ? expression() : logical_or(); };
    const Expr* first = item();
    if (!at_op(",")) return first;
    std::vector<const Expr*> items = {first};
    while (skip_op(",")) {
      if (now().kind == TokenKind::block_end || now().kind == TokenKind::variable_end) break;
      items.push_back(item());
    }
    return &make(ExprKind::tuple, first->line, std::move(items));
  }

  std::vector<Token> tokens_;
  Program& program_;
  NameUse names_;
  size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace fathom::jinja
