// Filters and tests (jinja_builtins.h).
#include "jinja/builtins.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>

#include "base/text/utf8.h"
#include "jinja/filters.h"

namespace fathom::jinja {

std::vector<std::optional<Value>> Arguments::bind(std::initializer_list<std::string_view> names,
                                                  size_t required) const {
  if (plain.size() > names.size())
    fault("'{}' takes at most {} arguments, not {}", function, names.size(), plain.size());
  std::vector<std::optional<Value>> out(names.size());
  std::copy(plain.begin(), plain.end(), out.begin());
  for (const auto& [name, value] : named) {
    const auto at = static_cast<size_t>(std::find(names.begin(), names.end(), name) - names.begin());
    if (at == names.size()) refuse("the argument '{}' of '{}'", name, function);
    if (out[at]) fault("'{}' got its argument '{}' twice", function, name);
    out[at] = value;
  }
  for (size_t i = 0; i < required; ++i)
    if (!out[i]) fault("'{}' needs its argument '{}'", function, names.begin()[i]);
  return out;
}

using Args = const Arguments&;

const Text& text_argument(Args args, const Value& value) {
  if (const Text* t = value.text()) return *t;
  fault("'{}' needs a string, not {}", args.function, type_name(value));
}

int64_t integer_argument(Args args, const Value& value) {
  if (const auto i = value.integer()) return *i;
  fault("'{}' needs an integer, not {}", args.function, type_name(value));
}

Value path_of(Meter& meter, Value x, const Value& path) {
  if (path.integer()) return get_item(meter, x, path);
  if (!path.text()) fault("an attribute is named by a string, not by {}", type_name(path));
  for (const Text& part : split(*path.text(), ".", -1)) {
    const bool is_index =
        !part.empty() && part.bytes.find_first_not_of("0123456789") == std::string::npos && part.size() < 10;
    x = get_item(meter, x, is_index ? Value(int64_t{std::stoll(part.bytes)}) : Value(part));
  }
  return x;
}

namespace {

Value trim(Meter& meter, const Value& x, Args args) {
  const auto a = args.bind({"chars"}, 0);
  const Text text = text_of(meter, x);
  if (!a[0] || a[0]->is_none()) return strip(text, Side::both);
  meter.scan(16 * text_argument(args, *a[0]).size());
  return strip(text, Side::both, a[0]->text()->bytes);
}

Value length(Meter& meter, const Value& x, Args args) {
  args.bind({}, 0);
  if (x.undefined()) return int64_t{0};
  if (const Text* t = x.text()) return meter.scan(4 * t->size()), static_cast<int64_t>(count_chars(t->bytes));
  if (const Dict* d = x.dict()) return static_cast<int64_t>(d->items.size());
  const List* l = x.list();
  if (l == nullptr || l->kind == ListKind::generator) fault("a value of type {} has no length", type_name(x));
  return static_cast<int64_t>(l->items.size());
}

template <Case to>
Value cased(Meter& meter, const Value& x, Args args) {
  args.bind({}, 0);
  return change_case(text_of(meter, x), to);
}

Value tojson(Meter& meter, const Value& x, Args args) {
  const auto a = args.bind({"ensure_ascii", "indent", "separators", "sort_keys"}, 0);
  JsonStyle style;
  if (a[0]) style.ensure_ascii = is_true(*a[0]);
  if (a[1] && !a[1]->is_none()) {
    style.indent = integer_argument(args, *a[1]);
    if (*style.indent < 0 || *style.indent > 64) refuse("tojson with indent {}", *style.indent);
    style.item_separator = Text(",");
  }
  if (a[2] && !a[2]->is_none()) {
    const List* pair = a[2]->list();
    if (pair == nullptr || pair->items.size() != 2) fault("the separators of tojson are two strings");
    style.item_separator = text_argument(args, pair->items[0]);
    style.key_separator = text_argument(args, pair->items[1]);
  }
  if (a[3]) style.sort_keys = is_true(*a[3]);
  // At most 12 bytes for a character, and for each item its separators and a line's indent at full depth.
  const uint64_t each =
      16 + style.item_separator.size() + style.key_separator.size() +
      static_cast<uint64_t>(style.indent.value_or(0)) * (x.list()   ? static_cast<uint64_t>(x.list()->nesting)
                                                         : x.dict() ? static_cast<uint64_t>(x.dict()->nesting)
                                                                    : 0);
  uint64_t bound = 0;
  meter.bytes(__builtin_mul_overflow(weight(x), each, &bound) ? UINT64_MAX : bound);
  return to_json(x, style);
}

Value join(Meter& meter, const Value& x, Args args) {
  const auto a = args.bind({"d", "attribute"}, 0);
  const Text separator = a[0] ? text_of(meter, *a[0]) : Text();
  Text out;
  bool first = true;
  const auto list = items_of(meter, x);
  for (const Value& item : list->items) {
    meter.bytes(separator.size());
    if (!first) out.append(separator);
    first = false;
    out.append(text_of(meter, a[1] && !a[1]->is_none() ? path_of(meter, item, *a[1]) : item));
  }
  return out;
}

Value fallback(Meter&, const Value& x, Args args) {
  const auto a = args.bind({"default_value", "boolean"}, 0);
  const bool use = x.undefined() || (a[1] && is_true(*a[1]) && !is_true(x));
  return !use ? x : a[0] ? *a[0] : Value(Text());
}

Value first(Meter& meter, const Value& x, Args args) {
  args.bind({}, 0);
  const auto list = items_of(meter, x);
  return list->items.empty() ? Value(Undefined{"the first item of an empty sequence"}) : list->items.front();
}

Value last(Meter& meter, const Value& x, Args args) {
  args.bind({}, 0);
  if (x.list() && x.list()->kind == ListKind::generator) fault("the last item of a generator; put | list behind it");
  const auto list = items_of(meter, x);
  return list->items.empty() ? Value(Undefined{"the last item of an empty sequence"}) : list->items.back();
}

Value reversed(Meter& meter, const Value& x, Args args) {
  args.bind({}, 0);
  auto items = items_of(meter, x)->items;
  meter.items(items.size());
  std::reverse(items.begin(), items.end());
  if (!x.text()) return make_list(std::move(items), ListKind::generator);
  Text out;
  out.markup = x.text()->markup;
  for (const Value& c : items) out.append(*c.text());
  return out;
}

Value string(Meter& meter, const Value& x, Args args) {
  args.bind({}, 0);
  return text_of(meter, x);
}

Value list(Meter& meter, const Value& x, Args args) {
  args.bind({}, 0);
  const auto items = items_of(meter, x);
  meter.items(items->items.size());
  return make_list(items->items);
}

Value items(Meter& meter, const Value& x, Args args) {
  args.bind({}, 0);
  if (x.undefined()) return make_list({}, ListKind::generator);
  if (!x.dict()) fault("'items' needs a dict, not {}", type_name(x));
  const std::string name = "items";
  return make_list(call_method(meter, x, name, {name, {}, {}}).list()->items, ListKind::generator);
}

std::optional<double> parsed_real(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  if (text.starts_with('+')) return std::nullopt;
  if (text.find_first_not_of("0123456789.eE+-") != std::string_view::npos) return std::nullopt;  // no inf, no nan
  double x = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), x);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return x;
}

// Text as a number: only the plain forms; what Python reads beyond them (underscores, inf, other digits) is refused.
std::string_view number_text(Meter& meter, const Text& text) {
  meter.scan(text.size());
  const std::string_view s = strip_spaces(text.bytes, Side::both);
  const bool odd =
      std::any_of(s.begin(), s.end(), [](char c) { return c == '_' || static_cast<unsigned char>(c) >= 0x80; });
  if (odd && s.size() < 64) refuse("reading {} as a number", quoted_for_message(s));
  return s;
}

Value to_integer(Meter& meter, const Value& x, Args args) {
  const auto a = args.bind({"default", "base"}, 0);
  if (a[1]) refuse("int with a base");
  const Value otherwise = a[0] ? *a[0] : Value(int64_t{0});
  if (const auto i = x.integer()) return *i;
  std::optional<double> real;
  if (const Text* t = x.text()) {
    std::string_view s = number_text(meter, *t);
    int64_t i = 0;
    const std::string_view digits = s.starts_with('+') && !s.starts_with("+-") ? s.substr(1) : s;
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), i);
    if (error == std::errc() && end == digits.data() + digits.size() && !digits.empty()) return i;
    if (error == std::errc::result_out_of_range) refuse("an integer beyond 64 bits");
    real = parsed_real(s);
  } else if (const double* d = std::get_if<double>(&x.v)) {
    real = *d;
  } else if (x.undefined()) {
    fault("{} is undefined", x.undefined()->what);
  }
  if (!real || !std::isfinite(*real)) return otherwise;
  if (std::abs(*real) >= 9.2e18) refuse("an integer beyond 64 bits");
  return static_cast<int64_t>(*real);
}

Value to_real(Meter& meter, const Value& x, Args args) {
  const auto a = args.bind({"default"}, 0);
  if (const auto i = x.integer()) return static_cast<double>(*i);
  if (std::holds_alternative<double>(x.v)) return x;
  if (x.undefined()) fault("{} is undefined", x.undefined()->what);
  const auto real = x.text() ? parsed_real(number_text(meter, *x.text())) : std::nullopt;
  return real ? Value(*real) : a[0] ? *a[0] : Value(0.0);
}

Value absolute(Meter&, const Value& x, Args args) {
  args.bind({}, 0);
  if (const auto i = x.integer()) return *i < 0 ? negate(x) : Value(*i);
  if (const double* d = std::get_if<double>(&x.v)) return std::abs(*d);
  fault("'abs' needs a number, not {}", type_name(x));
}

Value replace_filter(Meter& meter, const Value& x, Args args) {
  const auto a = args.bind({"old", "new", "count"}, 2);
  std::vector<Value> plain = {Value(text_of(meter, *a[0])), Value(text_of(meter, *a[1]))};
  if (a[2] && !a[2]->is_none()) plain.push_back(*a[2]);
  Text text = text_of(meter, x);
  text.markup = false;
  return call_method(meter, Value(std::move(text)), args.function, {args.function, std::move(plain), {}});
}

// What jinja2's filters of sequences pass over without a look: None, False, 0.
bool is_nothing(const Value& x) { return !x.list() && !x.dict() && !x.undefined() && !is_true(x); }

// select, reject: test(item); selectattr, rejectattr: test(item.attribute). Without a test: the truth of it.
template <bool by_attribute, bool keep>
Value chosen(Meter& meter, const Value& x, Args args) {
  if (is_nothing(x)) return make_list({}, ListKind::generator);
  if (!args.named.empty()) refuse("a named argument of '{}'", args.function);
  constexpr size_t at = by_attribute ? 1 : 0;
  if (args.plain.size() < at) fault("'{}' needs the name of an attribute", args.function);
  const std::string test = args.plain.size() > at ? text_argument(args, args.plain[at]).bytes : "";
  const Arguments rest{
      test, {args.plain.begin() + std::min<ptrdiff_t>(at + 1, std::ssize(args.plain)), args.plain.end()}, {}};
  std::vector<Value> out;
  const auto list = items_of(meter, x);
  meter.items(list->items.size());
  for (const Value& item : list->items) {
    meter.steps();
    const Value looked_at = by_attribute ? path_of(meter, item, args.plain[0]) : item;
    if ((test.empty() ? is_true(looked_at) : apply_test(meter, test, looked_at, rest)) == keep) out.push_back(item);
  }
  return make_list(std::move(out), ListKind::generator);
}

Value map(Meter& meter, const Value& x, Args args) {
  if (is_nothing(x)) return make_list({}, ListKind::generator);
  std::vector<Value> out;
  const auto list = items_of(meter, x);
  meter.items(list->items.size());
  if (args.plain.empty()) {
    const auto a = Arguments{args.function, {}, args.named}.bind({"attribute", "default"}, 1);
    for (const Value& item : list->items) {
      Value found = path_of(meter, item, *a[0]);
      if (a[1] && found.undefined())
        out.push_back(*a[1]);
      else
        out.push_back(std::move(found));
    }
    return make_list(std::move(out), ListKind::generator);
  }
  const std::string& name = text_argument(args, args.plain[0]).bytes;
  static constexpr std::string_view kNested[] = {"map", "select", "reject", "selectattr", "rejectattr"};
  if (std::find(std::begin(kNested), std::end(kNested), name) != std::end(kNested)) refuse("map with '{}'", name);
  const Arguments rest{name, {args.plain.begin() + 1, args.plain.end()}, args.named};
  for (const Value& item : list->items) {
    meter.steps();
    out.push_back(apply_filter(meter, name, item, rest));
  }
  return make_list(std::move(out), ListKind::generator);
}

using Filter = Value (*)(Meter&, const Value&, Args);
const std::map<std::string_view, Filter>& filters() {
  static const std::map<std::string_view, Filter> table = {{"trim", trim},
                                                           {"length", length},
                                                           {"count", length},
                                                           {"upper", cased<Case::upper>},
                                                           {"lower", cased<Case::lower>},
                                                           {"capitalize", cased<Case::capitalized>},
                                                           {"title", title_filter},
                                                           {"indent", indent_filter},
                                                           {"safe", safe_filter},
                                                           {"escape", escape_filter},
                                                           {"e", escape_filter},
                                                           {"sort", sort_filter},
                                                           {"dictsort", dictsort_filter},
                                                           {"unique", unique_filter},
                                                           {"min", min_filter},
                                                           {"max", max_filter},
                                                           {"sum", sum_filter},
                                                           {"tojson", tojson},
                                                           {"join", join},
                                                           {"default", fallback},
                                                           {"d", fallback},
                                                           {"first", first},
                                                           {"last", last},
                                                           {"reverse", reversed},
                                                           {"string", string},
                                                           {"list", list},
                                                           {"items", items},
                                                           {"int", to_integer},
                                                           {"float", to_real},
                                                           {"abs", absolute},
                                                           {"replace", replace_filter},
                                                           {"select", chosen<false, true>},
                                                           {"reject", chosen<false, false>},
                                                           {"selectattr", chosen<true, true>},
                                                           {"rejectattr", chosen<true, false>},
                                                           {"map", map}};
  return table;
}

// --- tests

using Test = bool (*)(Meter&, const Value&, Args);

template <bool (*check)(const Value&)>
bool plain_test(Meter&, const Value& x, Args args) {
  args.bind({}, 0);
  return check(x);
}

bool is_defined(const Value& x) { return !x.undefined(); }
bool is_undefined(const Value& x) { return x.undefined(); }
bool is_none(const Value& x) { return x.is_none(); }
bool is_string(const Value& x) { return x.text(); }
bool is_mapping(const Value& x) { return x.dict(); }
bool is_iterable(const Value& x) {
  return x.undefined() || x.text() || x.list() || x.dict() || std::holds_alternative<std::shared_ptr<const Loop>>(x.v);
}
// len() and [] exist: the views have no [], generators neither.
bool is_sequence(const Value& x) {
  const List* l = x.list();
  return x.undefined() || x.text() || x.dict() || (l && l->kind != ListKind::generator && l->kind != ListKind::view);
}
bool is_number(const Value& x) { return x.is_number(); }
bool is_bool(const Value& x) { return std::holds_alternative<bool>(x.v); }
bool is_integer(const Value& x) { return std::holds_alternative<int64_t>(x.v); }
bool is_float(const Value& x) { return std::holds_alternative<double>(x.v); }
bool is_yes(const Value& x) { return is_bool(x) && std::get<bool>(x.v); }
bool is_no(const Value& x) { return is_bool(x) && !std::get<bool>(x.v); }

bool is_callable(const Value& x) {
  return std::holds_alternative<const Statement*>(x.v) || std::holds_alternative<Function>(x.v);
}
// str(x).islower() and isupper(): a letter at least, and none of the other case.
template <Case to>
bool is_cased(Meter& meter, const Value& x, Args args) {
  args.bind({}, 0);
  const Text text = text_of(meter, x);
  const bool has_letter = std::any_of(text.bytes.begin(), text.bytes.end(),
                                      [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); });
  return change_case(text, to).bytes == text.bytes && has_letter;
}

int64_t remainder(const Value& x, int64_t by) {
  const auto i = x.integer();
  if (!i) fault("this test needs an integer, not {}", type_name(x));
  if (by == 0) fault("division by zero");
  return by == -1 ? 0 : *i % by;
}
bool is_even(const Value& x) { return remainder(x, 2) == 0; }
bool is_odd(const Value& x) { return remainder(x, 2) != 0; }
bool is_divisible(Meter&, const Value& x, Args args) {
  return remainder(x, integer_argument(args, *args.bind({"num"}, 1)[0])) == 0;
}

bool compares(Meter& meter, const Value& x, Args args) {
  static const std::map<std::string_view, std::string> ops = {
      {"eq", "=="},      {"equalto", "=="}, {"==", "=="}, {"ne", "!="}, {"!=", "!="}, {"lt", "<"},
      {"lessthan", "<"}, {"<", "<"},        {"le", "<="}, {"<=", "<="}, {"gt", ">"},  {"greaterthan", ">"},
      {">", ">"},        {"ge", ">="},      {">=", ">="}, {"in", "in"}};
  return compare(meter, ops.at(args.function), x, *args.bind({"other"}, 1)[0]);
}

const std::map<std::string_view, Test>& tests() {
  static const std::map<std::string_view, Test> table = {{"defined", plain_test<is_defined>},
                                                         {"undefined", plain_test<is_undefined>},
                                                         {"none", plain_test<is_none>},
                                                         {"string", plain_test<is_string>},
                                                         {"mapping", plain_test<is_mapping>},
                                                         {"iterable", plain_test<is_iterable>},
                                                         {"sequence", plain_test<is_sequence>},
                                                         {"number", plain_test<is_number>},
                                                         {"boolean", plain_test<is_bool>},
                                                         {"integer", plain_test<is_integer>},
                                                         {"float", plain_test<is_float>},
                                                         {"true", plain_test<is_yes>},
                                                         {"false", plain_test<is_no>},
                                                         {"callable", plain_test<is_callable>},
                                                         {"lower", is_cased<Case::lower>},
                                                         {"upper", is_cased<Case::upper>},
                                                         {"even", plain_test<is_even>},
                                                         {"odd", plain_test<is_odd>},
                                                         {"divisibleby", is_divisible},
                                                         {"eq", compares},
                                                         {"equalto", compares},
                                                         {"==", compares},
                                                         {"ne", compares},
                                                         {"!=", compares},
                                                         {"lt", compares},
                                                         {"lessthan", compares},
                                                         {"<", compares},
                                                         {"le", compares},
                                                         {"<=", compares},
                                                         {"gt", compares},
                                                         {"greaterthan", compares},
                                                         {">", compares},
                                                         {"ge", compares},
                                                         {">=", compares},
                                                         {"in", compares}};
  return table;
}

}  // namespace

Value apply_filter(Meter& meter, const std::string& name, const Value& subject, const Arguments& args) {
  const auto at = filters().find(name);
  if (at == filters().end()) refuse("the filter '{}'", name);
  return at->second(meter, subject, args);
}

bool apply_test(Meter& meter, const std::string& name, const Value& subject, const Arguments& args) {
  const auto at = tests().find(name);
  if (at == tests().end()) refuse("the test '{}'", name);
  return at->second(meter, subject, args);
}

}  // namespace fathom::jinja
