// Methods of strings, dicts and loops (jinja_builtins.h).
#include <algorithm>
#include <map>

#include "jinja/filters.h"

namespace fathom::jinja {
namespace {

using Args = const Arguments&;
using Method = Value (*)(Meter&, const Text&, Args);

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

Value rsplit_method(Meter& meter, const Text& text, Args args) {
  const auto a = args.bind({"sep", "maxsplit"}, 0);
  const int64_t limit = limit_argument(args, a[1]);
  if (limit < 0) return split_method(meter, text, args);
  if (!a[0] || a[0]->is_none()) refuse("'rsplit' at white space with a limit");
  const std::string& separator = text_argument(args, *a[0]).bytes;
  if (separator.empty()) fault("rsplit needs a separator that is not empty");
  meter.bytes(3 * text.size() + separator.size());
  meter.items(std::min<uint64_t>(static_cast<uint64_t>(limit), text.size()));
  std::vector<Text> parts;
  size_t end = text.size();
  for (const size_t at : places_from_right(text.bytes, separator, limit)) {
    parts.push_back(text.slice(at + separator.size(), end));
    end = at;
  }
  parts.push_back(text.slice(0, end));
  std::reverse(parts.begin(), parts.end());
  return make_list_of(meter, std::move(parts));
}

Value splitlines_method(Meter& meter, const Text& text, Args args) {
  args.bind({}, 0);
  meter.bytes(8 * text.size());
  return make_list_of(meter, split_lines(text));
}

size_t last_place(const std::string& text, const std::string& what) {
  const std::vector<size_t> places = places_from_right(text, what, 1);
  return places.empty() ? std::string::npos : places[0];
}

// What lies before the separator, the separator, what lies behind it; all of it in front (behind) when it is not found.
template <bool from_right>
Value partition_method(Meter& meter, const Text& text, Args args) {
  const Text& separator = text_argument(args, *args.bind({"sep"}, 1)[0]);
  if (separator.empty()) fault("'{}' needs a separator that is not empty", args.function);
  meter.bytes(3 * text.size() + 2 * separator.size());
  const size_t at = from_right ? last_place(text.bytes, separator.bytes) : find_bytes(text.bytes, separator.bytes);
  std::vector<Value> parts;
  if (at == std::string::npos && from_right)
    parts = {Value(Text()), Value(Text()), Value(text)};
  else if (at == std::string::npos)
    parts = {Value(text), Value(Text()), Value(Text())};
  else
    parts = {Value(text.slice(0, at)), Value(separator), Value(text.slice(at + separator.size(), text.size()))};
  return make_list(std::move(parts), ListKind::tuple);
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

// find, rfind: -1 where there is none; index, rindex: an error.
template <bool from_right, bool must_be_there>
Value find_method(Meter& meter, const Text& text, Args args) {
  const auto a = args.bind({"sub"}, 1);
  meter.scan(4 * text.size());
  const std::string& what = text_argument(args, *a[0]).bytes;
  if (from_right) meter.bytes(text.size() + what.size());
  const size_t at = from_right ? last_place(text.bytes, what) : find_bytes(text.bytes, what);
  if (at == std::string_view::npos && must_be_there)
    fault("'{}' did not find {}", args.function, quoted_for_message(what));
  if (at == std::string_view::npos) return int64_t{-1};
  return static_cast<int64_t>(count_chars(std::string_view(text.bytes).substr(0, at)));
}

// isdigit and its like: every character is of the kind, and there is one at least. ASCII only.
template <bool (*of_kind)(char)>
Value all_chars(Meter& meter, const Text& text, Args args) {
  args.bind({}, 0);
  meter.scan(text.size());
  if (std::any_of(text.bytes.begin(), text.bytes.end(), [](char c) { return static_cast<unsigned char>(c) >= 0x80; }))
    refuse("'{}' of text that is not ASCII", args.function);
  return !text.empty() && std::all_of(text.bytes.begin(), text.bytes.end(), of_kind);
}
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_alphanumeric(char c) { return is_digit(c) || is_letter(c); }
bool is_white(char c) { return is_space(static_cast<unsigned char>(c)); }

// islower, isupper: the test of the same name without "is".
Value has_case(Meter& meter, const Text& text, Args args) {
  const std::string test = args.function.substr(2);
  return apply_test(meter, test, Value(text), {test, args.plain, {}});
}

Value zfill_method(Meter& meter, const Text& text, Args args) {
  const auto width = static_cast<uint64_t>(std::max<int64_t>(integer_argument(args, *args.bind({"width"}, 1)[0]), 0));
  const size_t length = count_chars(text.bytes);
  meter.bytes(width + text.size());
  const size_t sign = !text.empty() && (text.bytes[0] == '+' || text.bytes[0] == '-');
  Text out = text.slice(0, sign);
  if (length < width) out.append(std::string(width - length, '0'));
  out.append(text, sign, text.size());
  return out;
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
                                                           {"title", cased<Case::title>},
                                                           {"swapcase", cased<Case::swapped>},
                                                           {"rsplit", rsplit_method},
                                                           {"splitlines", splitlines_method},
                                                           {"partition", partition_method<false>},
                                                           {"rpartition", partition_method<true>},
                                                           {"isdigit", all_chars<is_digit>},
                                                           {"isdecimal", all_chars<is_digit>},
                                                           {"isnumeric", all_chars<is_digit>},
                                                           {"isalpha", all_chars<is_letter>},
                                                           {"isalnum", all_chars<is_alphanumeric>},
                                                           {"isspace", all_chars<is_white>},
                                                           {"islower", has_case},
                                                           {"isupper", has_case},
                                                           {"zfill", zfill_method},
                                                           {"format", format_method},
                                                           {"replace", replace_method},
                                                           {"find", find_method<false, false>},
                                                           {"rfind", find_method<true, false>},
                                                           {"index", find_method<false, true>},
                                                           {"rindex", find_method<true, true>},
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
  if (!args.named.empty() && name != "split" && name != "rsplit" && name != "format")
    fault("the method '{}' takes no named arguments", name);
  if (const auto* loop = std::get_if<std::shared_ptr<const Loop>>(&object.v)) return loop_method(**loop, name, args);
  if (const Text* text = object.text()) {
    const auto at = text_methods().find(name);
    if (text->markup && !args.plain.empty()) refuse("'{}' of what 'safe' or 'escape' gives", name);
    if (at != text_methods().end()) return at->second(meter, *text, args);
  }
  if (object.dict() && is_method(object, name)) return dict_method(meter, *object.dict(), name, args);
  if (is_method(object, name)) refuse("the method '{}' of a {}", name, type_name(object));
  fault("the {} has no method {}", type_name(object), quoted_for_message(name));
}

}  // namespace fathom::jinja
