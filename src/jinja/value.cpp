#include "jinja/value.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/text/unicode_tables.h"
#include "base/text/utf8.h"

namespace fathom::jinja {

const Value* Dict::find(const std::string& key) const noexcept {
  const auto at = places.find(key);
  return at == places.end() ? nullptr : &items[at->second].second;
}

Value* Namespace::find(std::string_view name) noexcept {
  for (auto& [k, v] : fields)
    if (k == name) return &v;
  return nullptr;
}

namespace {
template <class T>
const T* get_shared(const Value::Variant& v) noexcept {
  const auto* p = std::get_if<std::shared_ptr<const T>>(&v);
  return p ? p->get() : nullptr;
}

// Nesting and weight of a container, gathered over what it holds.
struct Measure {
  int nesting = 0;
  uint64_t weight = 1;

  void add(int inner_nesting, uint64_t inner_weight) {
    nesting = std::max(nesting, inner_nesting);
    if (__builtin_add_overflow(weight, inner_weight + 1, &weight)) weight = UINT64_MAX / 2;
  }
  void add(const Value& value) {
    if (const List* l = value.list()) return add(l->nesting, l->weight);
    if (const Dict* d = value.dict()) return add(d->nesting, d->weight);
    if (const Loop* l = get_shared<Loop>(value.v)) return add(l->items->nesting, l->items->weight);
    add(0, value.text() ? value.text()->size() : 1);
  }
  int checked_nesting() const {
    if (nesting < kMaxNesting) return nesting + 1;
    throw Fault(ErrorKind::resource, fmt::format("a value is nested more than {} deep", kMaxNesting));
  }
};
}  // namespace

const Text* Value::text() const noexcept { return get_shared<Text>(v); }
const List* Value::list() const noexcept { return get_shared<List>(v); }
const Dict* Value::dict() const noexcept { return get_shared<Dict>(v); }
Namespace* Value::name_space() const noexcept {
  const auto* p = std::get_if<Namespace*>(&v);
  return p ? *p : nullptr;
}
bool Value::is_number() const noexcept { return integer().has_value() || std::holds_alternative<double>(v); }
std::optional<int64_t> Value::integer() const noexcept {
  if (const auto* i = std::get_if<int64_t>(&v)) return *i;
  if (const auto* b = std::get_if<bool>(&v)) return *b ? 1 : 0;
  return std::nullopt;
}

Value make_list(std::vector<Value> items, ListKind kind) {
  Measure measure;
  for (const Value& item : items) measure.add(item);
  Value out;
  out.v = std::make_shared<const List>(List{std::move(items), kind, measure.checked_nesting(), measure.weight});
  return out;
}

Value make_dict(std::vector<std::pair<Text, Value>> items) {  // NOLINT(performance-unnecessary-value-param): moved from
  Dict dict;
  Measure measure;
  for (auto& [key, value] : items) {
    measure.add(value);
    measure.add(0, key.size());
    const auto [at, is_new] = dict.places.emplace(key.bytes, dict.items.size());
    if (is_new)
      dict.items.emplace_back(std::move(key), std::move(value));
    else
      dict.items[at->second].second = std::move(value);
  }
  dict.nesting = measure.checked_nesting();
  dict.weight = measure.weight;
  Value out;
  out.v = std::make_shared<const Dict>(std::move(dict));
  return out;
}

Value value_from_json(const json::value& from, Origin origin) {
  switch (from.kind()) {
    case json::kind::null:
      return Value();
    case json::kind::bool_:
      return Value(from.get_bool());
    case json::kind::int64:
      return Value(from.get_int64());
    case json::kind::uint64:
      refuse("the integer {} is beyond 64 bits with sign", from.get_uint64());
    case json::kind::double_:
      return Value(from.get_double());
    case json::kind::string:
      return Value(Text(std::string_view(from.get_string()), origin));
    case json::kind::array: {
      std::vector<Value> items;
      for (const json::value& x : from.get_array()) items.push_back(value_from_json(x, origin));
      return make_list(std::move(items));
    }
    case json::kind::object: {
      std::vector<std::pair<Text, Value>> items;
      for (const auto& [key, x] : from.get_object())
        items.emplace_back(Text(std::string_view(key), origin), value_from_json(x, origin));
      return make_dict(std::move(items));
    }
  }
  return Value();
}

const char* type_name(const Value& value) noexcept {
  static constexpr const char* kNames[] = {"undefined", "None", "bool", "int",       "float", "str",
                                           "list",      "dict", "loop", "namespace", "macro", "function"};
  static constexpr const char* kListNames[] = {"list", "tuple", "view", "range", "generator"};
  if (const List* l = value.list()) return kListNames[static_cast<size_t>(l->kind)];
  return kNames[value.v.index()];
}

uint64_t weight(const Value& value) noexcept {
  Measure measure;
  measure.add(value);
  return measure.weight;
}

bool is_true(const Value& value) {
  if (value.undefined() || value.is_none()) return false;
  if (const auto i = value.integer()) return *i != 0;
  if (const double* d = std::get_if<double>(&value.v)) return *d != 0;
  if (const Text* t = value.text()) return !t->empty();
  if (const Dict* d = value.dict()) return !d->items.empty();
  const List* l = value.list();
  if (l == nullptr) return true;
  if (l->kind == ListKind::generator)
    refuse("the truth of a generator (what select, map or items give); put | list behind it");
  return !l->items.empty();
}

namespace {
// Exact for all int64 and double: long double has at least 64 bits of mantissa where int64 meets it (x86), or 113
// (arm64).
long double number(const Value& value) noexcept {
  if (const auto i = value.integer()) return static_cast<long double>(*i);
  return std::get<double>(value.v);
}

bool lists_equal(const List& a, const List& b) {
  if (a.kind == ListKind::generator || b.kind == ListKind::generator) return &a == &b;
  if (a.kind == ListKind::view || b.kind == ListKind::view)
    refuse("comparing what keys, values or items give; put | list behind it");
  if (a.kind != b.kind || a.items.size() != b.items.size()) return false;
  return std::equal(a.items.begin(), a.items.end(), b.items.begin(), equals);
}

bool dicts_equal(const Dict& a, const Dict& b) {
  if (a.items.size() != b.items.size()) return false;
  return std::all_of(a.items.begin(), a.items.end(), [&](const auto& p) {
    const Value* other = b.find(p.first.bytes);
    return other != nullptr && equals(p.second, *other);
  });
}
}  // namespace

bool equals(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return number(a) == number(b);
  if (a.v.index() != b.v.index()) return false;
  if (a.undefined() || a.is_none()) return true;
  if (const Text* t = a.text()) return t->bytes == b.text()->bytes;
  if (const List* l = a.list()) return lists_equal(*l, *b.list());
  if (const Dict* d = a.dict()) return dicts_equal(*d, *b.dict());
  if (a.name_space() != nullptr) return a.name_space() == b.name_space();
  refuse("comparing values of type {}", type_name(a));
}

bool less(const Value& a, const Value& b) {
  if (a.is_number() && b.is_number()) return number(a) < number(b);
  if (a.text() && b.text()) return a.text()->bytes < b.text()->bytes;  // UTF-8 sorts by code point, as Python does
  if (a.list() && b.list()) refuse("ordering lists");
  fault("'<' and '>' cannot compare {} with {}", type_name(a), type_name(b));
}

std::string float_text(double x) {
  if (std::isnan(x)) return "nan";
  if (std::isinf(x)) return x < 0 ? "-inf" : "inf";
  char buffer[32];
  const auto end = std::to_chars(buffer, buffer + sizeof buffer, x, std::chars_format::scientific).ptr;
  const std::string_view all(buffer, static_cast<size_t>(end - buffer));
  const size_t e = all.find('e');
  int exponent = 0;
  std::from_chars(all.data() + e + (all[e + 1] == '+' ? 2 : 1), end, exponent);
  // Python writes 1e-05 and 1e+16 with an exponent, what lies between without.
  if (exponent < -4 || exponent >= 16) return std::string(all);
  const auto plain = std::to_chars(buffer, buffer + sizeof buffer, x, std::chars_format::fixed).ptr;
  std::string out(buffer, static_cast<size_t>(plain - buffer));
  if (out.find('.') == std::string::npos) out.append(".0");
  return out;
}

namespace {

std::optional<std::string> scalar_text(const Value& value) {
  if (value.is_none()) return "None";
  if (const bool* b = std::get_if<bool>(&value.v)) return *b ? "True" : "False";
  if (const auto i = value.integer()) return std::to_string(*i);
  if (const double* d = std::get_if<double>(&value.v)) return float_text(*d);
  return std::nullopt;
}

// Python's repr of a string. Letters, marks, numbers, punctuation and symbols stand for themselves; what else there is
// beyond ASCII, Python escapes by the tables of its own version, so that is refused.
void append_repr(Text& out, const Text& text) {
  CharClassifier class_of;
  const bool has_single = text.bytes.find('\'') != std::string::npos,
             has_double = text.bytes.find('"') != std::string::npos;
  const char quote = has_single && !has_double ? '"' : '\'';
  out.append(std::string_view(&quote, 1));
  for (size_t i = 0; i < text.size(); ++i) {
    const auto c = static_cast<unsigned char>(text.bytes[i]);
    const auto from = static_cast<Origin>(text.origin[i]);
    if (c >= 0x80) {
      const Utf8Char character = decode_utf8(text.bytes, i);
      const CharClass kind = class_of(character.code_point);
      if (!character.valid || kind == CharClass::other || kind == CharClass::space)
        refuse("printing a list or dict that holds U+{:04X}; tojson can", character.code_point);
      out.append(text, i, i + character.length);
      i += character.length - 1;
      continue;
    }
    if (c == quote || c == '\\') out.append("\\", from);
    if (c == '\n')
      out.append("\\n", from);
    else if (c == '\r')
      out.append("\\r", from);
    else if (c == '\t')
      out.append("\\t", from);
    else if (c < 0x20 || c == 0x7F)
      out.append(fmt::format("\\x{:02x}", c), from);
    else
      out.append(text, i, i + 1);
  }
  out.append(std::string_view(&quote, 1));
}

void append_repr(Text& out, const Value& value);

void append_repr(Text& out, const List& list) {
  if (list.kind != ListKind::list && list.kind != ListKind::tuple)
    refuse("printing a {}", "range, view or generator; put | list behind it");
  out.append(list.kind == ListKind::list ? "[" : "(");
  for (size_t i = 0; i < list.items.size(); ++i) {
    if (i > 0) out.append(", ");
    append_repr(out, list.items[i]);
  }
  if (list.kind == ListKind::list)
    out.append("]");
  else
    out.append(list.items.size() == 1 ? ",)" : ")");
}

void append_repr(Text& out, const Dict& dict) {
  out.append("{");
  for (size_t i = 0; i < dict.items.size(); ++i) {
    if (i > 0) out.append(", ");
    append_repr(out, dict.items[i].first);
    out.append(": ");
    append_repr(out, dict.items[i].second);
  }
  out.append("}");
}

void append_repr(Text& out, const Value& value) {
  if (const auto scalar = scalar_text(value))
    out.append(*scalar);
  else if (value.undefined())
    out.append("Undefined");
  else if (const Text* t = value.text())
    append_repr(out, *t);
  else if (const List* l = value.list())
    append_repr(out, *l);
  else if (const Dict* d = value.dict())
    append_repr(out, *d);
  else
    refuse("printing a {}", type_name(value));
}

}  // namespace

Text to_text(const Value& value) {
  if (value.undefined()) return Text();
  if (const Text* t = value.text()) return *t;
  Text out;
  append_repr(out, value);
  return out;
}

namespace {

void append_json_string(Text& out, const Text& text, bool ensure_ascii) {
  out.append("\"");
  for (size_t i = 0; i < text.size();) {
    const Utf8Char c = decode_utf8(text.bytes, i);
    const auto from = static_cast<Origin>(text.origin[i]);
    static constexpr std::string_view kPlain = "\"\\\n\r\t\f\b", kNames = "\"\\nrtfb";
    const size_t known = c.code_point < 0x80 ? kPlain.find(static_cast<char>(c.code_point)) : std::string_view::npos;
    if (known != std::string_view::npos)
      out.append(fmt::format("\\{}", kNames[known]), from);
    else if (c.code_point < 0x20)
      out.append(fmt::format("\\u{:04x}", c.code_point), from);
    else if (!ensure_ascii || c.code_point < 0x80)
      out.append(text, i, i + c.length);
    else if (c.code_point < 0x10000)
      out.append(fmt::format("\\u{:04x}", c.code_point), from);
    else
      out.append(
          fmt::format("\\u{:04x}\\u{:04x}", 0xD800 + ((c.code_point - 0x10000) >> 10), 0xDC00 + (c.code_point & 0x3FF)),
          from);
    i += c.length;
  }
  out.append("\"");
}

struct JsonWriter {
  const JsonStyle& style;
  Text out;
  int64_t depth = 0;

  void line() {
    if (!style.indent) return;
    out.append("\n");
    out.append(std::string(static_cast<size_t>(*style.indent * depth), ' '));
  }

  // begin, the items with what `item` writes for each, end.
  template <class Items, class Item>
  void group(const char* begin, const char* end, const Items& items, const Item& item) {
    out.append(begin);
    ++depth;
    bool first = true;
    for (const auto& x : items) {
      if (!first) out.append(style.item_separator);
      first = false;
      line();
      item(x);
    }
    --depth;
    if (!items.empty()) line();
    out.append(end);
  }

  void write(const Dict& dict) {
    std::vector<const std::pair<Text, Value>*> items;
    for (const auto& p : dict.items) items.push_back(&p);
    if (style.sort_keys)
      std::sort(items.begin(), items.end(),
                [](const auto* a, const auto* b) { return a->first.bytes < b->first.bytes; });
    group("{", "}", items, [&](const auto* p) {
      append_json_string(out, p->first, style.ensure_ascii);
      out.append(style.key_separator);
      write(p->second);
    });
  }

  void write(const Value& value) {
    if (const Text* t = value.text()) return append_json_string(out, *t, style.ensure_ascii);
    if (const Dict* d = value.dict()) return write(*d);
    if (const List* l = value.list(); l && (l->kind == ListKind::list || l->kind == ListKind::tuple))
      return group("[", "]", l->items, [&](const Value& x) { write(x); });
    if (value.is_none()) return out.append("null");
    if (const bool* b = std::get_if<bool>(&value.v)) return out.append(*b ? "true" : "false");
    if (const double* d = std::get_if<double>(&value.v); d && !std::isfinite(*d))
      return out.append(std::isnan(*d) ? "NaN" : *d < 0 ? "-Infinity" : "Infinity");
    const auto scalar = scalar_text(value);
    if (!scalar) fault("a value of type {} cannot be written as JSON", type_name(value));
    out.append(*scalar);
  }
};

}  // namespace

Text to_json(const Value& value, const JsonStyle& style) {
  JsonWriter writer{style, {}, 0};
  writer.write(value);
  return std::move(writer.out);
}

}  // namespace fathom::jinja
