// Access, operators and comparison on template values (jinja_builtins.h).
#include <algorithm>
#include <cmath>

#include "jinja/builtins.h"

namespace fathom::jinja {

Text text_of(Meter& meter, const Value& value) {
  if (const Text* t = value.text()) return meter.bytes(t->size()), *t;
  const uint64_t size = weight(value);
  meter.bytes(size > (UINT64_MAX >> 8) ? UINT64_MAX : 4 * size + 16);  // repr writes at most 4 bytes for one
  return to_text(value);
}

std::shared_ptr<const List> items_of(Meter& meter, const Value& value) {
  if (const auto* list = std::get_if<std::shared_ptr<const List>>(&value.v)) {
    if ((*list)->kind == ListKind::generator && std::exchange((*list)->used_up, true))
      refuse("a second pass over a generator (what select, map or items give); put | list behind it");
    return *list;
  }
  List out;
  if (const Text* t = value.text()) {
    meter.items(t->size());
    for (Text& c : split_chars(*t)) out.items.emplace_back(std::move(c));
  } else if (const Dict* d = value.dict()) {
    meter.items(d->items.size());
    meter.bytes(d->weight);
    for (const auto& [key, x] : d->items) out.items.emplace_back(key);
  } else if (!value.undefined()) {
    fault("a value of type {} cannot be iterated over", type_name(value));
  }
  return std::make_shared<const List>(std::move(out));
}

namespace {

[[noreturn]] void fail_undefined(const Undefined& u) { fault("{} is undefined", u.what); }

// Where a Python index lies in n items, or nothing when it is outside.
std::optional<size_t> place(int64_t index, size_t n) noexcept {
  const auto size = static_cast<int64_t>(n);
  if (index < -size || index >= size) return std::nullopt;
  return static_cast<size_t>(index < 0 ? index + size : index);
}

std::optional<Value> item_at(Meter& meter, const Value& object, int64_t index) {
  if (const Text* t = object.text()) {
    meter.scan(8 * t->size());
    const auto at = place(index, count_chars(t->bytes));
    if (!at) return std::nullopt;
    const size_t begin = byte_of_char(t->bytes, *at);
    return t->slice(begin, begin + char_bytes(t->bytes, begin));
  }
  const List* l = object.list();
  if (l == nullptr || l->kind == ListKind::view || l->kind == ListKind::generator) return std::nullopt;
  const auto at = place(index, l->items.size());
  return at ? std::optional(l->items[*at]) : std::nullopt;
}

std::optional<Value> field(Meter& meter, const Value& object, const std::string& name) {
  if (Namespace* space = object.name_space()) {
    meter.steps(space->fields.size() / 8);
    const Value* found = space->find(name);
    return found ? std::optional(*found) : std::nullopt;
  }
  const Dict* dict = object.dict();
  const Value* found = dict ? dict->find(name) : nullptr;
  return found ? std::optional(*found) : std::nullopt;
}

Value loop_attribute(const Loop& loop, const std::string& name) {
  const auto& items = loop.items->items;
  const auto index0 = static_cast<int64_t>(loop.index0), length = static_cast<int64_t>(items.size());
  if (name == "index") return index0 + 1;
  if (name == "index0") return index0;
  if (name == "revindex") return length - index0;
  if (name == "revindex0") return length - index0 - 1;
  if (name == "first") return index0 == 0;
  if (name == "last") return index0 + 1 == length;
  if (name == "length") return length;
  if (name == "depth") return loop.depth;
  if (name == "depth0") return loop.depth - 1;
  if (name == "previtem") return index0 == 0 ? Value(Undefined{"there is no previous item"}) : items[loop.index0 - 1];
  if (name == "nextitem")
    return index0 + 1 == length ? Value(Undefined{"there is no next item"}) : items[loop.index0 + 1];
  refuse("'loop.{}'", name);
}

Value missing(const Value& object, std::string_view what) {
  return Undefined{fmt::format("the {} has no {} which", type_name(object), quoted_for_message(what))};
}

}  // namespace

Value get_attribute(Meter& meter, const Value& object, const std::string& name) {
  if (const Undefined* u = object.undefined()) fail_undefined(*u);
  if (const auto* loop = std::get_if<std::shared_ptr<const Loop>>(&object.v)) return loop_attribute(**loop, name);
  if (is_method(object, name)) refuse("the method '{}' without a call", name);
  if (auto found = field(meter, object, name)) return std::move(*found);
  return missing(object, name);
}

Value get_item(Meter& meter, const Value& object, const Value& index) {
  if (const Undefined* u = object.undefined()) fail_undefined(*u);
  if (const Text* name = index.text()) {
    if (auto found = field(meter, object, name->bytes)) return std::move(*found);
    if (is_method(object, name->bytes)) refuse("the method '{}' as an item", name->bytes);
    return missing(object, name->bytes);
  }
  if (const auto i = index.integer())
    if (auto found = item_at(meter, object, *i)) return std::move(*found);
  return missing(object, index.is_number() ? to_text(index).bytes : type_name(index));
}

namespace {

// One end of a slice: the default where left out, else counted from the end when negative, then brought into [low,
// high].
int64_t slice_end(const std::optional<Value>& part, int64_t fallback, int64_t n, int64_t low, int64_t high) {
  if (!part || part->is_none()) return fallback;
  const auto i = part->integer();
  if (!i) fault("slice indices must be integers");
  return std::clamp(*i < 0 ? *i + n : *i, low, high);
}

std::vector<size_t> slice_places(const std::optional<Value> (&parts)[3], size_t size) {
  const auto n = static_cast<int64_t>(size);
  const bool has_step = parts[2] && !parts[2]->is_none();
  if (has_step && !parts[2]->integer()) fault("slice indices must be integers");
  const int64_t step = has_step ? *parts[2]->integer() : 1;
  if (step == 0) fault("a slice with step 0");
  const bool back = step < 0;
  const int64_t start = slice_end(parts[0], back ? n - 1 : 0, n, back ? -1 : 0, back ? n - 1 : n);
  const int64_t stop = slice_end(parts[1], back ? -1 : n, n, back ? -1 : 0, back ? n - 1 : n);
  std::vector<size_t> places;
  for (int64_t i = start; back ? i > stop : i < stop;) {
    places.push_back(static_cast<size_t>(i));
    if (__builtin_add_overflow(i, step, &i)) break;
  }
  return places;
}

Value slice_text(Meter& meter, const Text& text, const std::optional<Value> (&parts)[3]) {
  meter.bytes(16 * text.size());
  std::vector<size_t> offsets;
  for (size_t i = 0; i < text.size(); i += char_bytes(text.bytes, i)) offsets.push_back(i);
  const size_t n = offsets.size();
  offsets.push_back(text.size());
  Text out;
  out.markup = text.markup;
  for (const size_t at : slice_places(parts, n)) out.append(text, offsets[at], offsets[at + 1]);
  return out;
}

}  // namespace

Value slice(Meter& meter, const Value& object, const std::optional<Value> (&parts)[3]) {
  if (const Undefined* u = object.undefined()) fail_undefined(*u);
  if (const Text* t = object.text()) return slice_text(meter, *t, parts);
  const List* l = object.list();
  if (l == nullptr || l->kind == ListKind::view || l->kind == ListKind::generator)
    fault("a value of type {} has no slices", type_name(object));
  if (l->kind == ListKind::range) refuse("a slice of a range; put | list behind it");
  meter.items(l->items.size());
  std::vector<Value> items;
  for (const size_t at : slice_places(parts, l->items.size())) items.push_back(l->items[at]);
  return make_list(std::move(items), l->kind);
}

namespace {

[[noreturn]] void fail_operands(const std::string& op, const Value& a, const Value& b) {
  if (const Undefined* u = a.undefined()) fail_undefined(*u);
  if (const Undefined* u = b.undefined()) fail_undefined(*u);
  fault("'{}' does not work between {} and {}", op, type_name(a), type_name(b));
}

// Python rounds a / b once; below 2^53 two doubles do the same.
double exact_quotient(int64_t a, int64_t b) {
  constexpr int64_t kExact = int64_t{1} << 53;
  if (a > kExact || a < -kExact || b > kExact || b < -kExact) refuse("'/' on integers beyond 2^53");
  return static_cast<double>(a) / static_cast<double>(b);
}

Value integer_binary(const std::string& op, int64_t a, int64_t b) {
  int64_t r = 0;
  bool overflow = false;
  if (op == "+") {
    overflow = __builtin_add_overflow(a, b, &r);
  } else if (op == "-") {
    overflow = __builtin_sub_overflow(a, b, &r);
  } else if (op == "*") {
    overflow = __builtin_mul_overflow(a, b, &r);
  } else if (b == 0) {
    fault("division by zero");
  } else if (op == "/") {
    return exact_quotient(a, b);
  } else if (b == -1) {  // the one divisor that can overflow
    overflow = op == "//" && __builtin_sub_overflow(int64_t{0}, a, &r);
  } else {
    const int64_t rest = a % b;
    const bool round_down = rest != 0 && (rest < 0) != (b < 0);  // Python divides towards minus infinity
    r = op == "//" ? a / b - round_down : rest + (round_down ? b : 0);
  }
  if (overflow) refuse("an integer beyond 64 bits");
  return r;
}

double as_double(const Value& value) {
  if (const auto i = value.integer()) return static_cast<double>(*i);
  return std::get<double>(value.v);
}

Value real_binary(const std::string& op, double a, double b) {
  if (op == "+") return a + b;
  if (op == "-") return a - b;
  if (op == "*") return a * b;
  if (b == 0) fault("division by zero");
  if (op == "/") return a / b;
  refuse("'{}' on floats", op);
}

Value repeated(Meter& meter, const Value& what, int64_t times) {
  const auto n = static_cast<uint64_t>(std::max<int64_t>(times, 0));
  if (const Text* t = what.text()) {
    uint64_t size = 0;
    if (__builtin_mul_overflow(n, static_cast<uint64_t>(t->size()), &size)) size = UINT64_MAX;
    meter.bytes(size);
    Text out;
    out.markup = t->markup;
    for (uint64_t i = 0; i < n && !t->empty(); ++i) out.append(*t);
    return out;
  }
  const List& l = *what.list();
  uint64_t count = 0;
  if (__builtin_mul_overflow(n, static_cast<uint64_t>(l.items.size()), &count)) count = UINT64_MAX;
  meter.items(count);
  std::vector<Value> items;
  for (uint64_t i = 0; i < n && !l.items.empty(); ++i) items.insert(items.end(), l.items.begin(), l.items.end());
  return make_list(std::move(items), l.kind);
}

bool can_repeat(const Value& value) {
  const List* l = value.list();
  return value.text() || (l && (l->kind == ListKind::list || l->kind == ListKind::tuple));
}

std::optional<Value> joined(Meter& meter, const Value& a, const Value& b) {
  if (a.text() && b.text()) {
    const bool markup = a.text()->markup || b.text()->markup;
    meter.bytes((markup ? 5 : 1) * (a.text()->size() + b.text()->size()));
    Text out = markup ? escaped(*a.text()) : *a.text();
    out.append(markup ? escaped(*b.text()) : *b.text());
    return out;
  }
  if (!can_repeat(a) || !can_repeat(b) || a.text() || b.text() || a.list()->kind != b.list()->kind) return std::nullopt;
  meter.items(a.list()->items.size() + b.list()->items.size());
  std::vector<Value> items = a.list()->items;
  items.insert(items.end(), b.list()->items.begin(), b.list()->items.end());
  return make_list(std::move(items), a.list()->kind);
}

}  // namespace

Value binary(Meter& meter, const std::string& op, const Value& a, const Value& b) {
  if (a.integer() && b.integer()) return integer_binary(op, *a.integer(), *b.integer());
  if (a.is_number() && b.is_number()) return real_binary(op, as_double(a), as_double(b));
  if (op == "+")
    if (auto out = joined(meter, a, b)) return std::move(*out);
  if (op == "*" && can_repeat(a) && b.integer()) return repeated(meter, a, *b.integer());
  if (op == "*" && can_repeat(b) && a.integer()) return repeated(meter, b, *a.integer());
  if (op == "%" && a.text()) refuse("'%' formatting of a string");
  fail_operands(op, a, b);
}

Value negate(const Value& value) {
  if (const auto i = value.integer()) return integer_binary("-", 0, *i);
  if (const double* d = std::get_if<double>(&value.v)) return -*d;
  if (const Undefined* u = value.undefined()) fail_undefined(*u);
  fault("'-' does not work on {}", type_name(value));
}

namespace {

bool contains(Meter& meter, const Value& container, const Value& what) {
  if (container.undefined()) return false;
  if (const Text* t = container.text()) {
    if (!what.text()) fault("'in' on a string needs a string, not {}", type_name(what));
    meter.scan(t->size() + what.text()->size());
    return find_bytes(t->bytes, what.text()->bytes) != std::string_view::npos;
  }
  if (const Dict* d = container.dict()) {
    if (what.list() || what.dict()) fault("a value of type {} is no key of a dict", type_name(what));
    return what.text() && d->find(what.text()->bytes) != nullptr;
  }
  meter.steps(weight(container) / 16);
  const auto list = items_of(meter, container);
  return std::any_of(list->items.begin(), list->items.end(), [&](const Value& x) { return equals(x, what); });
}

}  // namespace

bool compare(Meter& meter, const std::string& op, const Value& a, const Value& b) {
  if (op == "in") return contains(meter, b, a);
  if (op == "not in") return !contains(meter, b, a);
  meter.steps(std::min(weight(a), weight(b)) / 16);
  if (op == "==") return equals(a, b);
  if (op == "!=") return !equals(a, b);
  if (op == "<") return less(a, b);
  if (op == ">") return less(b, a);
  // Not the opposite of less(): a NaN is neither.
  return (op == "<=" ? less(a, b) : less(b, a)) || equals(a, b);
}

}  // namespace fathom::jinja
