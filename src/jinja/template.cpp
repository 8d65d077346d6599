// The evaluator: walks the tree of a template (jinja_ast.h).
#include "jinja/template.h"

#include <algorithm>
#include <deque>
#include <map>

#include "base/text/utf8.h"
#include "jinja/filters.h"
#include "jinja/parser.h"

namespace fathom::jinja {
namespace {

// Calls of expressions and blocks within each other at run time. The parser bounds what one template nests; macros that
// call macros come on top.
constexpr int kMaxDepth = 500;
constexpr int64_t kMaxRange = 100000;  // what jinja2's sandbox allows

enum class Flow { normal, leave_loop, next_iteration };

class Interpreter {
 public:
  Interpreter(const Program& program, const std::string& where, const Limits& limits,
              std::span<const Variable> variables, const Clock& clock)
      : program_(program), where_(where), clock_(clock), meter_(limits) {
    scopes_.emplace_back();
    for (const auto& [name, value] : variables) scopes_[0][name] = value;
    for (const std::string& name : program.owned) scopes_[0][name] = Value(Undefined{"'" + name + "'"});
  }

  Text run() {
    Text out;
    out_ = &out;
    run_block(program_.body);
    return out;
  }

 private:
  using Scope = std::map<std::string_view, Value>;  // names belong to the program or to the caller's variables

  class Level {
   public:
    explicit Level(int& depth) : depth_(depth) {
      if (++depth_ > kMaxDepth) throw Fault(ErrorKind::resource, "macros call each other too deeply");
    }
    ~Level() { --depth_; }
    Level(const Level&) = delete;
    Level& operator=(const Level&) = delete;

   private:
    int& depth_;
  };

  // --- statements

  Flow run_block(const Block& block) {
    const Level level(depth_);
    for (const Statement* s : block)
      if (const Flow flow = run_statement(*s); flow != Flow::normal) return flow;
    return Flow::normal;
  }

  Flow run_statement(const Statement& s) {
    try {
      meter_.steps();
      return run_unplaced(s);
    } catch (const Fault& f) {  // the innermost statement gives the line
      throw Error(f.kind(),
                  fmt::format("{} line {}: {}{}", where_, s.line,
                              f.kind() == ErrorKind::unsupported ? "not supported in chat templates: " : "", f.what()));
    }
  }

  Flow run_unplaced(const Statement& s) {
    switch (s.kind) {
      case StatementKind::text:
        write(s.text);
        break;
      case StatementKind::output:
        write(text_of(meter_, eval(*s.expr)));
        break;
      case StatementKind::branch:
        return run_branch(s);
      case StatementKind::loop:
        return run_loop(s);
      case StatementKind::assign:
        assign(s.targets, s.unpacks, eval(*s.expr));
        break;
      case StatementKind::assign_block:
        assign(s.targets, s.unpacks, filtered(s));
        break;
      case StatementKind::filter_block:
        write(text_of(meter_, filtered(s)));
        break;
      case StatementKind::macro:
        scopes_.back()[s.text.bytes] = Value(&s);
        break;
      case StatementKind::scope: {
        const ScopeGuard scope(*this);
        return run_block(s.body);
      }
      case StatementKind::leave_loop:
        return Flow::leave_loop;
      case StatementKind::next_iteration:
        return Flow::next_iteration;
    }
    return Flow::normal;
  }

  struct ScopeGuard {
    explicit ScopeGuard(Interpreter& i) : in(i), outer(i.scopes_.size()) { in.scopes_.emplace_back(); }
    ~ScopeGuard() {  // when an Error passes through a macro call, there are fewer scopes left than outer
      if (in.scopes_.size() > outer) in.scopes_.resize(outer);
    }
    ScopeGuard(const ScopeGuard&) = delete;
    ScopeGuard& operator=(const ScopeGuard&) = delete;
    Interpreter& in;
    const size_t outer;
  };

  void write(const Text& text) {
    meter_.bytes(text.size());
    out_->append(text);
  }

  Flow run_branch(const Statement& s) {
    for (const auto& [condition, body] : s.branches)
      if (condition == nullptr || is_true(eval(*condition))) return run_block(body);
    return Flow::normal;
  }

  Flow run_loop(const Statement& s) {
    const auto items = loop_items(s);
    if (items->items.empty()) {
      const ScopeGuard scope(*this);
      return run_block(s.otherwise);
    }
    auto loop = std::make_shared<Loop>(Loop{items, 0, ++loop_depth_});
    Flow flow = Flow::normal;
    for (size_t i = 0; i < items->items.size() && flow != Flow::leave_loop; ++i) {
      meter_.steps();
      if (loop.use_count() > 1) loop = std::make_shared<Loop>(*loop);  // the template kept the last one
      loop->index0 = i;
      const ScopeGuard scope(*this);
      assign(s.targets, s.unpacks, items->items[i]);
      scopes_.back()["loop"] = Value(std::shared_ptr<const Loop>(loop));
      flow = run_block(s.body);
    }
    --loop_depth_;
    return Flow::normal;
  }

  // What the loop runs over, after its `if`.
  std::shared_ptr<const List> loop_items(const Statement& s) {
    const auto all = items_of(meter_, eval(*s.expr));
    if (s.condition == nullptr) return all;
    meter_.items(all->items.size());
    std::vector<Value> kept;
    for (const Value& item : all->items) {
      meter_.steps();
      const ScopeGuard scope(*this);
      assign(s.targets, s.unpacks, item);
      if (is_true(eval(*s.condition))) kept.push_back(item);
    }
    return std::get<std::shared_ptr<const List>>(make_list(std::move(kept)).v);
  }

  void assign(const std::vector<Target>& targets, bool unpacks, const Value& value) {
    if (!unpacks) return assign(targets[0], value);
    const auto items = items_of(meter_, value);
    if (items->items.size() != targets.size())
      fault("{} values cannot be assigned to {} names", items->items.size(), targets.size());
    for (size_t i = 0; i < targets.size(); ++i) assign(targets[i], items->items[i]);
  }

  void assign(const Target& target, const Value& value) {
    if (target.field.empty()) {
      scopes_.back()[target.name] = value;
      return;
    }
    Namespace* space = lookup(target.name).name_space();
    if (space == nullptr)
      fault("'{}' is no namespace, so '{}.{}' cannot be set", target.name, target.name, target.field);
    meter_.steps(space->fields.size() / 8);
    if (Value* field = space->find(target.field))
      *field = value;
    else
      space->fields.emplace_back(target.field, value);
  }

  // What a body writes, as a value.
  Value captured(const Block& body) {
    Text text;
    Text* const outer = std::exchange(out_, &text);
    const ScopeGuard scope(*this);
    run_block(body);
    out_ = outer;
    return text;
  }

  // What the body of a statement writes, through the filters that it names.
  Value filtered(const Statement& s) {
    Value text = captured(s.body);
    if (s.expr == nullptr) return text;
    const ScopeGuard scope(*this);
    scopes_.back()[kWritten] = std::move(text);
    return eval(*s.expr);
  }

  // --- expressions

  Value eval(const Expr& e) {
    const Level level(depth_);
    meter_.steps();
    switch (e.kind) {
      case ExprKind::constant:
        return e.value;
      case ExprKind::name:
        return lookup(e.name);
      case ExprKind::list:
        return make_list(eval_all(e.args));
      case ExprKind::tuple:
        return make_list(eval_all(e.args), ListKind::tuple);
      case ExprKind::dict:
        return eval_dict(e);
      case ExprKind::attribute:
        return get_attribute(meter_, eval(*e.args[0]), e.name);
      case ExprKind::item:
        return eval_item(e);
      case ExprKind::slice:
        return eval_slice(e);
      case ExprKind::call:
        return eval_call(e);
      case ExprKind::filter:
        return eval_filter(e);
      case ExprKind::test:
        return eval_test(e);
      case ExprKind::negate:
        return negate(eval(*e.args[0]));
      case ExprKind::plus:
        return binary(meter_, "+", int64_t{0}, eval(*e.args[0]));
      case ExprKind::logical_not:
        return !is_true(eval(*e.args[0]));
      case ExprKind::logical_and:
      case ExprKind::logical_or:
        return eval_logical(e);
      case ExprKind::compare:
        return eval_compare(e);
      case ExprKind::binary:
        return eval_binary(e);
      case ExprKind::concat:
        return eval_concat(e);
      case ExprKind::conditional:
        return eval_conditional(e);
    }
    return Value();
  }

  Value lookup(const std::string& name) const {
    for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope)
      if (const auto at = scope->find(name); at != scope->end()) return at->second;
    static const std::map<std::string_view, Function> functions = {{"namespace", Function::make_namespace},
                                                                   {"dict", Function::make_dict},
                                                                   {"range", Function::range},
                                                                   {"raise_exception", Function::raise_exception},
                                                                   {"strftime_now", Function::strftime_now},
                                                                   {"lipsum", Function::lipsum},
                                                                   {"cycler", Function::cycler},
                                                                   {"joiner", Function::joiner}};
    if (const auto at = functions.find(name); at != functions.end()) return at->second;
    return Undefined{"'" + name + "'"};
  }

  std::vector<Value> eval_all(const std::vector<const Expr*>& exprs) {
    meter_.items(exprs.size());
    std::vector<Value> out;
    out.reserve(exprs.size());
    for (const Expr* e : exprs) out.push_back(eval(*e));
    return out;
  }

  Value eval_dict(const Expr& e) {
    const std::vector<Value> parts = eval_all(e.args);
    std::vector<std::pair<Text, Value>> items;
    for (size_t i = 0; i < parts.size(); i += 2) {
      if (!parts[i].text()) refuse("a dict key of type {}", type_name(parts[i]));
      items.emplace_back(*parts[i].text(), parts[i + 1]);
    }
    return make_dict(std::move(items));
  }

  Value eval_item(const Expr& e) {
    const Value object = eval(*e.args[0]);
    return get_item(meter_, object, eval(*e.args[1]));
  }

  Value eval_slice(const Expr& e) {
    const Value object = eval(*e.args[0]);
    std::optional<Value> parts[3];
    for (size_t i = 0; i < 3; ++i)
      if (e.args[i + 1] != nullptr) parts[i] = eval(*e.args[i + 1]);
    return slice(meter_, object, parts);
  }

  Arguments arguments(const Expr& e, const std::string& function) {
    Arguments args{function, {}, {}};
    for (size_t i = 1; i < e.args.size(); ++i) args.plain.push_back(eval(*e.args[i]));
    for (const auto& [name, value] : e.named) args.named.emplace_back(name, eval(*value));
    return args;
  }

  Value eval_filter(const Expr& e) {
    const Value subject = eval(*e.args[0]);
    return apply_filter(meter_, e.name, subject, arguments(e, e.name));
  }

  Value eval_test(const Expr& e) {
    const Value subject = eval(*e.args[0]);
    return apply_test(meter_, e.name, subject, arguments(e, e.name));
  }

  Value eval_logical(const Expr& e) {
    Value left = eval(*e.args[0]);
    return is_true(left) == (e.kind == ExprKind::logical_or) ? left : eval(*e.args[1]);
  }

  Value eval_compare(const Expr& e) {
    Value left = eval(*e.args[0]);
    for (size_t i = 0; i < e.ops.size(); ++i) {
      Value right = eval(*e.args[i + 1]);
      if (!compare(meter_, e.ops[i], left, right)) return false;
      left = std::move(right);
    }
    return true;
  }

  Value eval_binary(const Expr& e) {
    const Value left = eval(*e.args[0]);
    return binary(meter_, e.ops[0], left, eval(*e.args[1]));
  }

  Value eval_concat(const Expr& e) {
    Text out;
    for (const Expr* part : e.args) out.append(text_of(meter_, eval(*part)));
    return out;
  }

  Value eval_conditional(const Expr& e) {
    if (is_true(eval(*e.args[0]))) return eval(*e.args[1]);
    return e.args[2] ? eval(*e.args[2]) : Value(Undefined{"a value of 'if' without 'else'"});
  }

  // --- calls

  Value eval_call(const Expr& e) {
    const Expr& callee = *e.args[0];
    if (callee.kind == ExprKind::attribute) {
      const Value object = eval(*callee.args[0]);
      return call_method(meter_, object, callee.name, arguments(e, callee.name));
    }
    const Value function = eval(callee);
    if (const Undefined* u = function.undefined()) fault("{} is undefined", u->what);
    if (const auto* macro = std::get_if<const Statement*>(&function.v))
      return call_macro(**macro, arguments(e, (*macro)->text.bytes));
    if (const auto* f = std::get_if<Function>(&function.v)) return call_function(*f, arguments(e, callee.name));
    fault("a value of type {} cannot be called", type_name(function));
  }

  Value call_function(Function function, const Arguments& args) {
    switch (function) {
      case Function::make_namespace:
        return new_namespace(args);
      case Function::make_dict:
        return make_dict(named_items(args));
      case Function::range:
        return range(args);
      case Function::raise_exception:
        fault("the template does not accept these messages: {}",
              quoted_for_message(text_of(meter_, *args.bind({"message"}, 1)[0]).bytes, 500));
      case Function::strftime_now: {
        const auto a = args.bind({"format"}, 1);
        return format_time(meter_, text_argument(args, *a[0]), clock_());
      }
      default:
        break;
    }
    refuse("the function '{}'", args.function);
  }

  std::vector<std::pair<Text, Value>> named_items(const Arguments& args) {
    std::vector<std::pair<Text, Value>> items;
    if (args.plain.size() > 1) fault("'{}' takes at most one argument without name", args.function);
    if (!args.plain.empty()) {
      if (!args.plain[0].dict()) refuse("'{}' of a {}", args.function, type_name(args.plain[0]));
      items = args.plain[0].dict()->items;
      meter_.items(items.size());
    }
    for (const auto& [name, value] : args.named) items.emplace_back(Text(name), value);
    return items;
  }

  Value new_namespace(const Arguments& args) {
    const Value fields = make_dict(named_items(args));
    meter_.items(1 + fields.dict()->items.size());
    Namespace& space = namespaces_.emplace_back();
    for (const auto& [name, value] : fields.dict()->items) space.fields.emplace_back(name.bytes, value);
    return &space;
  }

  Value range(const Arguments& args) {
    if (!args.named.empty()) fault("'range' takes no named arguments");
    const auto a = args.bind({"start", "stop", "step"}, 1);
    int64_t bounds[3] = {0, 0, 1};
    for (size_t i = 0; i < 3; ++i) {
      if (!a[i]) continue;
      if (!a[i]->integer()) fault("'range' needs integers, not {}", type_name(*a[i]));
      bounds[i] = *a[i]->integer();
    }
    if (!a[1]) std::swap(bounds[0], bounds[1]);
    const auto [start, stop, step] = bounds;
    if (step == 0) fault("'range' with step 0");
    std::vector<Value> items;
    for (int64_t i = start; step > 0 ? i < stop : i > stop;) {
      if (std::ssize(items) == kMaxRange) fault("a range of more than {} numbers", kMaxRange);
      meter_.items(1);
      items.emplace_back(i);
      if (__builtin_add_overflow(i, step, &i)) break;
    }
    return make_list(std::move(items), ListKind::range);
  }

  Value call_macro(const Statement& macro, const Arguments& args) {
    const Level level(depth_);
    if (args.plain.size() > macro.parameters.size())
      fault("the macro '{}' takes {} arguments, not {}", args.function, macro.parameters.size(), args.plain.size());
    // A macro sees the template's variables and its own, not those of the caller. The exchange is undone by hand on the
    // way out; when an Error passes, the interpreter ends.
    std::vector<Scope> outer(std::make_move_iterator(scopes_.begin() + 1), std::make_move_iterator(scopes_.end()));
    scopes_.resize(1);
    scopes_.emplace_back();
    bind_parameters(macro, args);
    Value out = captured(macro.body);
    scopes_.resize(1);
    std::move(outer.begin(), outer.end(), std::back_inserter(scopes_));
    return out;
  }

  void bind_parameters(const Statement& macro, const Arguments& args) {
    for (size_t i = 0; i < args.plain.size(); ++i) scopes_.back()[macro.parameters[i].first] = args.plain[i];
    for (const auto& argument : args.named) {
      const auto parameter = std::find_if(macro.parameters.begin(), macro.parameters.end(),
                                          [&](const auto& p) { return p.first == argument.first; });
      if (parameter == macro.parameters.end())
        fault("the macro '{}' has no parameter '{}'", args.function, argument.first);
      if (!scopes_.back().emplace(parameter->first, argument.second).second)
        fault("the macro '{}' got '{}' twice", args.function, argument.first);
    }
    for (const auto& [name, otherwise] : macro.parameters) {
      if (scopes_.back().contains(name)) continue;
      Value value = otherwise ? eval(*otherwise) : Value(Undefined{"parameter '" + name + "'"});
      scopes_.back()[name] = std::move(value);
    }
  }

  const Program& program_;
  const std::string& where_;
  const Clock& clock_;
  Meter meter_;
  std::vector<Scope> scopes_;  // [0]: the caller's variables and the template's own
  std::deque<Namespace> namespaces_;
  Text* out_ = nullptr;
  int depth_ = 0;
  int64_t loop_depth_ = 0;
};

}  // namespace

Template::Template(std::string_view source, std::string where, const Limits& limits)
    : where_(std::move(where)), limits_(limits) {
  if (source.size() > limits.source_bytes)
    throw_resource("{}: the template has {} bytes; at most {} are read.", where_, source.size(), limits.source_bytes);
  if (const size_t at = find_invalid_utf8(source); at != std::string_view::npos)
    throw_bad_input("{}: byte {} of the template is not valid UTF-8.", where_, at);
  program_ = parse_template(source, where_);
}

std::tm local_time() {
  const std::time_t now = std::time(nullptr);
  std::tm out = {};
  localtime_r(&now, &out);
  return out;
}

Text Template::render(std::span<const Variable> variables, const Clock& clock) const {
  return Interpreter(*program_, where_, limits_, variables, clock).run();
}

}  // namespace fathom::jinja
