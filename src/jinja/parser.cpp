#include "jinja/parser.h"

#include "jinja/expressions.h"

namespace fathom::jinja {
namespace {

// The tags of a template.
class Parser : public ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  void run() {
    program_.body = block({});
    program_.owned.assign(names_.owned().begin(), names_.owned().end());
    check_at(TokenKind::end, "the end of the template");
  }

 private:
  Statement& add(StatementKind kind, int line) {
    Statement& s = program_.statements.emplace_back();
    s.kind = kind;
    s.line = line;
    return s;
  }

  void end_tag() {
    check_at(TokenKind::block_end, "'%}'");
    take();
  }

  // Statements until a tag that starts with one of `ends`; that word is the current token then. {}: until the end.
  Block block(std::initializer_list<std::string_view> ends) {
    const Level level(depth_);
    Block out;
    while (now().kind != TokenKind::end) {
      const Token token = take();
      if (token.kind == TokenKind::data) {
        Statement& s = add(StatementKind::text, token.line);
        s.text = Text(token.text);
        out.push_back(&s);
      } else if (token.kind == TokenKind::variable_begin) {
        Statement& s = add(StatementKind::output, token.line);
        s.expr = tuple_or(true);
        check_at(TokenKind::variable_end, "'}}'");
        take();
        out.push_back(&s);
      } else {
        check_at(TokenKind::name, "the name of a tag");
        if (std::find(ends.begin(), ends.end(), now().text) != ends.end()) return out;
        out.push_back(statement());
      }
    }
    if (ends.size() > 0) fault("the template ends where {{% {} %}} was expected", *(ends.end() - 1));
    return out;
  }

  // The body of a tag: ": %}" or "%}", statements, then one of `ends`, which is returned and taken.
  std::string body_until(Block& into, std::initializer_list<std::string_view> ends) {
    skip_op(":");
    end_tag();
    into = block(ends);
    return take().text;
  }

  const Statement* statement() {
    const Token word = take();
    if (word.text == "if") return branch(word.line);
    if (word.text == "for") return loop(word.line);
    if (word.text == "set") return assignment(word.line);
    if (word.text == "macro") return macro(word.line);
    if (word.text == "generation") return generation(word.line);
    if (word.text == "filter") return filter_block(word.line);
    if (word.text == "break") return loop_control(StatementKind::leave_loop, word);
    if (word.text == "continue") return loop_control(StatementKind::next_iteration, word);
    static constexpr std::array<std::string_view, 12> kKnown = {
        "include", "import", "extends", "block", "from", "call", "with", "print", "do", "autoescape", "trans", "debug"};
    if (std::find(kKnown.begin(), kKnown.end(), word.text) != kKnown.end()) refuse("the tag '{}'", word.text);
    fault("unknown tag {}", quoted_for_message(word.text));
  }

  const Statement* branch(int line) {
    Statement& s = add(StatementKind::branch, line);
    std::string word = "if";
    while (word != "endif") {
      const Expr* condition = word == "else" ? nullptr : tuple_or(false);
      auto& [test, body] = s.branches.emplace_back();
      test = condition;
      names_.enter_if();
      word = condition ? body_until(body, {"elif", "else", "endif"}) : body_until(body, {"endif"});
      names_.leave_if();
    }
    end_tag();
    return &s;
  }

  const Statement* loop(int line) {
    Statement& s = add(StatementKind::loop, line);
    targets(s, false);
    if (!skip_word("in")) fault("expected 'in', found {}", describe(now()));
    s.expr = tuple_or(false);
    if (skip_word("if")) {
      enter_loop(s);
      s.condition = expression();
      names_.leave();
    }
    if (at_word("recursive")) refuse("recursive loops");
    enter_loop(s);
    ++loops_;
    const std::string end = body_until(s.body, {"else", "endfor"});
    --loops_;
    names_.leave();
    if (end == "else") inner_body(s.otherwise, "endfor");
    end_tag();
    return &s;
  }

  void enter_loop(const Statement& s) {
    names_.enter({"loop"});
    for (const Target& target : s.targets) names_.own(target.name);
  }

  // A body with variables of its own.
  void inner_body(Block& into, std::string_view end) {
    names_.enter({});
    body_until(into, {end});
    names_.leave();
  }

  void targets(Statement& s, bool with_fields) {
    const bool parenthesis = skip_op("(");
    do {
      if (s.unpacks && now().kind != TokenKind::name) break;  // a comma at the end
      Target target{expect_name(), {}};
      static constexpr std::array<std::string_view, 7> kConstants = {"true", "True", "false", "False",
                                                                     "none", "None", "loop"};
      if (std::find(kConstants.begin(), kConstants.end(), target.name) != kConstants.end())
        fault("'{}' cannot be assigned to", target.name);
      if (with_fields && skip_op(".")) target.field = expect_name();
      s.targets.push_back(std::move(target));
      if (at_op(",")) s.unpacks = true;
    } while (skip_op(","));
    if (parenthesis) expect_op(")");
  }

  const Statement* assignment(int line) {
    Statement& s = add(StatementKind::assign, line);
    targets(s, true);
    if (skip_op("=")) {
      s.expr = tuple_or(true);
    } else {
      if (at_op("|")) s.expr = filters(&written(line));
      s.kind = StatementKind::assign_block;
      const int loops = std::exchange(loops_, 0);  // break and continue may not leave a body that is a value
      inner_body(s.body, "endset");
      loops_ = loops;
    }
    for (const Target& target : s.targets) target.field.empty() ? names_.set(target.name) : names_.read(target.name);
    end_tag();
    return &s;
  }

  Expr& written(int line) {
    Expr& e = make(ExprKind::name, line);
    e.name = kWritten;
    return e;
  }

  const Statement* filter_block(int line) {
    Statement& s = add(StatementKind::filter_block, line);
    s.expr = filters(filter(&written(line)));
    const int loops = std::exchange(loops_, 0);
    inner_body(s.body, "endfilter");
    loops_ = loops;
    end_tag();
    return &s;
  }

  const Statement* macro(int line) {
    if (names_.depth() > 1) refuse("a macro inside another block");
    Statement& s = add(StatementKind::macro, line);
    s.text = Text(expect_name());
    names_.set(s.text.bytes);
    names_.enter_macro();
    expect_op("(");
    while (!at_op(")")) {
      auto& [name, fallback] = s.parameters.emplace_back(expect_name(), nullptr);
      if (s.parameters.size() > 256) refuse("more than 256 parameters of a macro");
      if (skip_op("="))
        fallback = expression();
      else if (s.parameters.size() > 1 && (s.parameters.end() - 2)->second)
        fault("a parameter without default follows one with a default");
      names_.own(name);
      if (!skip_op(",")) break;
    }
    expect_op(")");
    body_until(s.body, {"endmacro"});
    names_.leave();
    end_tag();
    return &s;
  }

  const Statement* generation(int line) {
    Statement& s = add(StatementKind::scope, line);
    inner_body(s.body, "endgeneration");
    end_tag();
    return &s;
  }

  const Statement* loop_control(StatementKind kind, const Token& word) {
    if (loops_ == 0) fault("'{}' outside of a loop", word.text);
    end_tag();
    return &add(kind, word.line);
  }

  int loops_ = 0;  // loops around here that break and continue can mean
};

}  // namespace

std::shared_ptr<const Program> parse_template(std::string_view source, const std::string& where) {
  auto program = std::make_shared<Program>();
  Parser parser(tokenize(source, where), *program);
  try {
    parser.run();
  } catch (const Fault& f) {
    throw Error(f.kind(),
                fmt::format("{} line {}: {}{}", where, parser.line(),
                            f.kind() == ErrorKind::unsupported ? "not supported in chat templates: " : "", f.what()));
  }
  return program;
}

}  // namespace fathom::jinja
