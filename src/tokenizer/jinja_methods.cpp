// Methods of strings, dicts and loops (jinja_builtins.h).
#include <algorithm>
#include <map>

#include "tokenizer/jinja_builtins.h"

namespace fathom::jinja {
namespace {

using Args = const Arguments&;
using Method = Value (*)(Meter&, const Text&, Args);

const Text& text_argument(Args args, const Value& value) {
  if (const Text* t = value.text()) return *t;
  fault("'{}' needs a string, not {}", args.function, type_name(value));
}

// An optional count; absent and negative both mean no limit.
int64_t limit_argument(Args args, const std::optional<Value>& value) {
  if (!value) return -1;
  if (const auto i = value->integer()) return *i;
  fault("'{}' needs an integer, not {}", args.function, type_name(*value));
}

Value make_list_of(Meter& meter, std::vector<Text> parts) {
  meter.items(parts.size());
  std::vector<Value> items(std::make_move_iterator(parts.begin()), std::make_move_iterator(parts.end()));
  return make_list(std::move(items));
}

template <Side side>
Value stripped(Meter& meter, const Text& text, Args args) {
  const auto a = args.bind({"chars"}, 0);
  meter.bytes(text.size());
  if (!a[0] || a[0]->is_none()) return strip(text, side);
  meter.scan(16 * text_argument(args, *a[0]).size());
  return strip(text, side, a[0]->text()->bytes);
}

Value split_method(Meter& meter, const Text& text, Args args) {
  const auto a = args.bind({"sep", "maxsplit"}, 0);
  meter.bytes(text.size());
  const int64_t limit = limit_argument(args, a[1]);
  if (!a[0] || a[0]->is_none()) {
    meter.items(text.size() / 2);  // at most one part for two bytes
    return make_list_of(meter, split(text, std::nullopt, limit));
  }
  const Text& separator = text_argument(args, *a[0]);
  meter.scan(separator.size());
  if (!separator.empty())
    meter.items(limit < 0 ? count_occurrences(text.bytes, separator.bytes)
                          : std::min<uint64_t>(static_cast<uint64_t>(limit), text.size()));
  return make_list_of(meter, split(text, separator.bytes, limit));
}

// startswith, endswith: one string or a tuple of them.
template <bool at_start>
Value has_affix(Meter& meter, const Text& text, Args args) {
  const auto a = args.bind({"affix"}, 1);
  const auto has = [&](const Value& affix) {
    const std::string& s = text_argument(args, affix).bytes;
    meter.steps(1 + s.size() / 64);
    return at_start ? text.bytes.starts_with(s) : text.bytes.ends_with(s);
  };
  const List* several = a[0]->list();
  if (several == nullptr || several->kind != ListKind::tuple) return has(*a[0]);
  return std::any_of(several->items.begin(), several->items.end(), has);
}

template <bool at_start>
Value without_affix(Meter& meter, const Text& text, Args args) {
  const auto a = args.bind({"affix"}, 1);
  const Text& affix = text_argument(args, *a[0]);
  meter.bytes(text.size());
  if (at_start ? !text.bytes.starts_with(affix.bytes) : !text.bytes.ends_with(affix.bytes)) return text;
  return at_start ? text.slice(affix.size(), text.size()) : text.slice(0, text.size() - affix.size());
}

template <Case to>
Value cased(Meter& meter, const Text& text, Args args) {
  args.bind({}, 0);
  meter.bytes(text.size());
  return change_case(text, to);
}

Value replace_method(Meter& meter, const Text& text, Args args) {
  const auto a = args.bind({"old", "new", "count"}, 2);
  const Text &from = text_argument(args, *a[0]), &to = text_argument(args, *a[1]);
  const int64_t limit = limit_argument(args, a[2]);
  if (from.empty()) refuse("'replace' of an empty string");
  meter.scan(text.size() + from.size());
  const uint64_t found = count_occurrences(text.bytes, from.bytes);
  const uint64_t times = limit < 0 ? found : std::min<uint64_t>(found, static_cast<uint64_t>(limit));
  uint64_t added = 0;
  meter.bytes(__builtin_mul_overflow(times, static_cast<uint64_t>(to.size()), &added) ? UINT64_MAX : added);
  meter.bytes(text.size());
  return replace(text, from.bytes, to, limit);
}

Value find_method(Meter& meter, const Text& text, Args args) {
  const auto a = args.bind({"sub"}, 1);
  meter.scan(4 * text.size());
  const size_t at = find_bytes(text.bytes, text_argument(args, *a[0]).bytes);
  if (at == std::string_view::npos) return int64_t{-1};
  return static_cast<int64_t>(count_chars(std::string_view(text.bytes).substr(0, at)));
}

Value count_method(Meter& meter, const Text& text, Args args) {
  const auto a = args.bind({"sub"}, 1);
  meter.scan(text.size());
  const Text& what = text_argument(args, *a[0]);
  if (what.empty()) refuse("'count' of an empty string");
  return static_cast<int64_t>(count_occurrences(text.bytes, what.bytes));
}

Value join_method(Meter& meter, const Text& separator, Args args) {
  const auto a = args.bind({"iterable"}, 1);
  if (a[0]->undefined()) fault("{} is undefined", a[0]->undefined()->what);
  const auto list = items_of(meter, *a[0]);
  Text out;
  for (size_t i = 0; i < list->items.size(); ++i) {
    const Text& item = text_argument(args, list->items[i]);
    meter.bytes(item.size() + separator.size());
    if (i > 0) out.append(separator);
    out.append(item);
  }
  return out;
}

const std::map<std::string_view, Method>& text_methods() {
  static const std::map<std::string_view, Method> table = {{"strip", stripped<Side::both>},
                                                           {"lstrip", stripped<Side::left>},
                                                           {"rstrip", stripped<Side::right>},
                                                           {"split", split_method},
                                                           {"startswith", has_affix<true>},
                                                           {"endswith", has_affix<false>},
                                                           {"removeprefix", without_affix<true>},
                                                           {"removesuffix", without_affix<false>},
                                                           {"upper", cased<Case::upper>},
                                                           {"lower", cased<Case::lower>},
                                                           {"capitalize", cased<Case::capitalized>},
                                                           {"replace", replace_method},
                                                           {"find", find_method},
                                                           {"count", count_method},
                                                           {"join", join_method}};
  return table;
}

// keys, values, items: views in Python; no index, but a length and a truth.
Value dict_view(Meter& meter, const Dict& dict, Args args) {
  args.bind({}, 0);
  meter.items(2 * dict.items.size());
  meter.bytes(dict.weight);
  std::vector<Value> out;
  for (const auto& [key, value] : dict.items) {
    if (args.function == "keys")
      out.emplace_back(key);
    else if (args.function == "values")
      out.push_back(value);
    else
      out.push_back(make_list({Value(key), value}, ListKind::tuple));
  }
  return make_list(std::move(out), ListKind::view);
}

Value dict_method(Meter& meter, const Dict& dict, const std::string& name, Args args) {
  if (name == "keys" || name == "values" || name == "items") return dict_view(meter, dict, args);
  if (name != "get") refuse("the method '{}' of a dict", name);
  const auto a = args.bind({"key", "default"}, 1);
  if (a[0]->undefined()) fault("{} is undefined", a[0]->undefined()->what);
  const Value* found = a[0]->text() ? dict.find(a[0]->text()->bytes) : nullptr;
  return found ? *found : a[1] ? *a[1] : Value();
}

Value loop_method(const Loop& loop, const std::string& name, Args args) {
  if (name != "cycle") refuse("the method 'loop.{}'", name);
  if (args.plain.empty() || !args.named.empty()) fault("'loop.cycle' needs values to choose from");
  return args.plain[loop.index0 % args.plain.size()];
}

template <size_t n>
bool is_one_of(const std::string_view (&names)[n], std::string_view name) {
  return std::find(std::begin(names), std::end(names), name) != std::end(names);
}

}  // namespace

bool is_method(const Value& object, std::string_view name) noexcept {
  static constexpr std::string_view kText[] = {
      "capitalize", "casefold",     "center",       "count",   "encode",     "endswith",    "expandtabs",
      "find",       "format",       "format_map",   "index",   "isalnum",    "isalpha",     "isascii",
      "isdecimal",  "isdigit",      "isidentifier", "islower", "isnumeric",  "isprintable", "isspace",
      "istitle",    "isupper",      "join",         "ljust",   "lower",      "lstrip",      "maketrans",
      "partition",  "removeprefix", "removesuffix", "replace", "rfind",      "rindex",      "rjust",
      "rpartition", "rsplit",       "rstrip",       "split",   "splitlines", "startswith",  "strip",
      "swapcase",   "title",        "translate",    "upper",   "zfill"};
  static constexpr std::string_view kDict[] = {"clear", "copy",    "fromkeys",   "get",    "items", "keys",
                                               "pop",   "popitem", "setdefault", "update", "values"};
  static constexpr std::string_view kList[] = {"append", "clear", "copy",    "count",   "extend", "index",
                                               "insert", "pop",   "remove",  "reverse", "sort",   "start",
                                               "stop",   "step",  "mapping", "send",    "throw",  "close"};
  if (object.text()) return is_one_of(kText, name);
  if (object.dict()) return is_one_of(kDict, name);
  return object.list() && is_one_of(kList, name);
}

Value call_method(Meter& meter, const Value& object, const std::string& name, const Arguments& args) {
  if (const Undefined* u = object.undefined()) fault("{} is undefined", u->what);
  if (!args.named.empty() && name != "split") fault("the method '{}' takes no named arguments", name);
  if (const auto* loop = std::get_if<std::shared_ptr<const Loop>>(&object.v)) return loop_method(**loop, name, args);
  if (const Text* text = object.text()) {
    const auto at = text_methods().find(name);
    if (at != text_methods().end()) return at->second(meter, *text, args);
  }
  if (object.dict() && is_method(object, name)) return dict_method(meter, *object.dict(), name, args);
  if (is_method(object, name)) refuse("the method '{}' of a {}", name, type_name(object));
  fault("the {} has no method {}", type_name(object), quoted_for_message(name));
}

}  // namespace fathom::jinja
