// Filters that order and reduce sequences (jinja_filters.h).
#include <algorithm>
#include <map>
#include <set>

#include "jinja/filters.h"

namespace fathom::jinja {

using Args = const Arguments&;

namespace {

struct Keyed {
  Value key, item;
};

// What is compared: the attribute when one is named, a string in small letters unless case matters.
Value sort_key(Meter& meter, const Value& item, const std::optional<Value>& attribute, bool case_sensitive) {
  if (attribute && attribute->text() && attribute->text()->bytes.find(',') != std::string::npos)
    refuse("sorting by several attributes");
  Value key = attribute && !attribute->is_none() ? path_of(meter, item, *attribute) : item;
  if (key.text() == nullptr || case_sensitive) return key;
  meter.bytes(key.text()->size());
  return change_case(*key.text(), Case::lower);
}

std::vector<Keyed> keyed_items(Meter& meter, const Value& x, const std::optional<Value>& attribute,
                               bool case_sensitive) {
  std::vector<Keyed> out;
  const auto list = items_of(meter, x);
  meter.items(2 * list->items.size());
  for (const Value& item : list->items) out.push_back({sort_key(meter, item, attribute, case_sensitive), item});
  return out;
}

// Stable, and in reverse order stable too, as Python's sorted().
void sort_keyed(Meter& meter, std::vector<Keyed>& items, bool reverse) {
  std::stable_sort(items.begin(), items.end(), [&](const Keyed& a, const Keyed& b) {
    meter.steps(1 + std::min(weight(a.key), weight(b.key)) / 16);
    return reverse ? less(b.key, a.key) : less(a.key, b.key);
  });
}

Value items_in_order(std::vector<Keyed> items) {
  std::vector<Value> out;
  for (Keyed& k : items) out.push_back(std::move(k.item));
  return make_list(std::move(out));
}

bool flag(const std::optional<Value>& value) { return value && is_true(*value); }

Value extreme(Meter& meter, const Value& x, Args args, bool greatest) {
  const auto a = args.bind({"case_sensitive", "attribute"}, 0);
  const std::vector<Keyed> items = keyed_items(meter, x, a[1], flag(a[0]));
  if (items.empty()) return Undefined{fmt::format("the {} of an empty sequence", args.function)};
  const Keyed* best = &items[0];
  for (const Keyed& k : items) {
    meter.steps(1 + std::min(weight(best->key), weight(k.key)) / 16);
    if (greatest ? less(best->key, k.key) : less(k.key, best->key)) best = &k;
  }
  return best->item;
}

}  // namespace

Value sort_filter(Meter& meter, const Value& x, Args args) {
  const auto a = args.bind({"reverse", "case_sensitive", "attribute"}, 0);
  std::vector<Keyed> items = keyed_items(meter, x, a[2], flag(a[1]));
  sort_keyed(meter, items, flag(a[0]));
  return items_in_order(std::move(items));
}

Value dictsort_filter(Meter& meter, const Value& x, Args args) {
  const auto a = args.bind({"case_sensitive", "by", "reverse"}, 0);
  const Dict* dict = x.dict();
  if (dict == nullptr) fault("'dictsort' needs a dict, not {}", type_name(x));
  const std::string by = a[1] ? text_argument(args, *a[1]).bytes : "key";
  if (by != "key" && by != "value") fault("'dictsort' is by 'key' or 'value'");
  meter.items(3 * dict->items.size());
  meter.bytes(dict->weight);
  std::vector<Keyed> items;
  for (const auto& [key, value] : dict->items)
    items.push_back({sort_key(meter, by == "key" ? Value(key) : value, std::nullopt, flag(a[0])),
                     make_list({Value(key), value}, ListKind::tuple)});
  sort_keyed(meter, items, flag(a[2]));
  return items_in_order(std::move(items));
}

Value unique_filter(Meter& meter, const Value& x, Args args) {
  const auto a = args.bind({"case_sensitive", "attribute"}, 0);
  std::vector<Value> out, seen;
  for (const Keyed& k : keyed_items(meter, x, a[1], flag(a[0]))) {
    if (k.key.list() || k.key.dict()) refuse("'unique' of a {}", type_name(k.key));
    meter.steps(1 + seen.size());
    if (std::any_of(seen.begin(), seen.end(), [&](const Value& s) { return equals(s, k.key); })) continue;
    seen.push_back(k.key);
    out.push_back(k.item);
  }
  return make_list(std::move(out), ListKind::generator);
}

Value min_filter(Meter& meter, const Value& x, Args args) { return extreme(meter, x, args, false); }
Value max_filter(Meter& meter, const Value& x, Args args) { return extreme(meter, x, args, true); }

Value sum_filter(Meter& meter, const Value& x, Args args) {
  const auto a = args.bind({"attribute", "start"}, 0);
  Value total = a[1] ? *a[1] : Value(int64_t{0});
  if (total.text()) fault("'sum' does not work on strings; 'join' does");
  const auto list = items_of(meter, x);
  for (const Value& item : list->items) {
    meter.steps();
    total = binary(meter, "+", total, a[0] && !a[0]->is_none() ? path_of(meter, item, *a[0]) : item);
  }
  return total;
}

}  // namespace fathom::jinja
