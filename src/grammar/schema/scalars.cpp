#include "grammar/schema/scalars.h"

#include <algorithm>

#include "base/json/json_number.h"
#include "grammar/regex.h"
#include "grammar/schema/formats.h"
#include "grammar/schema/number_range.h"

namespace fathom::grammar {
namespace {

constexpr int64_t kExactDigits = 15;  // decimals of so many digits are told apart as doubles (DBL_DIG)

CharAutomaton automaton_of_pattern(const Place& place, std::string_view pattern) {
  return parse_regex(pattern, fmt::format("JSON schema, {}: 'pattern'", quoted_for_message(place.pointer, 200)))
      .containing();
}

CharAutomaton automaton_of_format(const Place& place, std::string_view name) {
  const auto pattern = format_pattern(name);
  if (!pattern) refuse(place, "format {} is not supported; there are {}", quoted_for_message(name), format_names());
  return parse_regex(*pattern, fmt::format("JSON schema, {}: 'format'", quoted_for_message(place.pointer, 200)))
      .whole();
}

// The tighter of a bound and its exclusive twin.
std::optional<Bound> bound_at(const Place& place, const json::object& object, const char* inclusive,
                              const char* exclusive, bool lower) {
  auto number = [&](const char* key) -> const json::value* {
    const json::value* value = object.if_contains(key);
    if (value != nullptr && !value->is_number())
      refuse(place, "'{}' is {}; it must be a number (true and false are of older drafts)", key, json_found(*value));
    return value;
  };
  const json::value *with = number(inclusive), *beyond = number(exclusive);
  if (with == nullptr && beyond == nullptr) return std::nullopt;
  const bool take_beyond =
      with == nullptr || (beyond != nullptr && (lower ? beyond->to_number<double>() >= with->to_number<double>()
                                                      : beyond->to_number<double>() <= with->to_number<double>()));
  const json::value& value = take_beyond ? *beyond : *with;
  const auto whole = json_integer(value);
  const auto bound = whole               ? bound_of(*whole, take_beyond)
                     : value.is_double() ? bound_of(value.get_double(), take_beyond)
                                         : std::nullopt;
  if (!bound)
    refuse(place, "'{}' is {}, which has more than 18 digits on one side of the point",
           take_beyond ? exclusive : inclusive, json_found(value));
  return bound;
}

// So few that no decimal next to a bound is read as the bound itself.
int64_t fraction_digits(const Place& place, const NumberRange& range) {
  int64_t digits = kExactDigits;
  for (const auto& bound : {range.min, range.max})
    if (bound) digits = std::min(digits, kExactDigits - static_cast<int64_t>(bound->whole.size()));
  digits = std::max<int64_t>(digits, 0);
  for (const auto& bound : {range.min, range.max})
    if (bound && static_cast<int64_t>(bound->fraction.size()) > digits)
      refuse(place, "a bound of the number has more than {} digits, beyond which doubles do not tell decimals apart",
             kExactDigits);
  return digits;
}

}  // namespace

int64_t count_at(const Place& place, const json::object& object, const char* key, int64_t otherwise) {
  const json::value* value = object.if_contains(key);
  if (value == nullptr) return otherwise;
  const auto n = json_integer(*value);
  if (!n && !value->is_number()) refuse(place, "'{}' is {}; it must be a whole number", key, json_found(*value));
  if (!n || *n < 0 || *n > kMaxRepeat)
    refuse(place, "'{}' is {}; it must be a whole number from 0 to {}", key, json_found(*value), kMaxRepeat);
  return *n;
}

Expr string_schema(const Place& place, const json::object& object, JsonText& text) {
  const int64_t min = count_at(place, object, "minLength", 0), max = count_at(place, object, "maxLength", -1);
  const json::value *pattern = object.if_contains("pattern"), *format = object.if_contains("format");
  if (max >= 0 && max < min)
    refuse(place, "'minLength' {} is above 'maxLength' {}: no string satisfies both", min, max);
  if (pattern == nullptr && format == nullptr)
    return min == 0 && max < 0 ? text.any_string() : text.string_of_length(min, max);
  if (pattern != nullptr && format != nullptr) refuse(place, "'pattern' beside 'format' is not supported");
  if (!(pattern ? pattern : format)->is_string())
    refuse(place, "'{}' must be a string", pattern ? "pattern" : "format");
  const CharAutomaton matching = pattern != nullptr ? automaton_of_pattern(place, pattern->get_string())
                                                    : automaton_of_format(place, format->get_string());
  return text.string_of(min == 0 && max < 0 ? matching : matching.of_length(min, max));
}

Expr number_schema(const Place& place, const json::object& object, bool whole, JsonText& text, Expressions& out) {
  NumberRange range;
  range.min = bound_at(place, object, "minimum", "exclusiveMinimum", true);
  range.max = bound_at(place, object, "maximum", "exclusiveMaximum", false);
  if (const json::value* multiple = object.if_contains("multipleOf")) {
    const auto n = json_integer(*multiple);
    if (!n || *n < 1 || *n > kMaxMultiple)
      refuse(place, "'multipleOf' is {}; whole numbers from 1 to {} are supported, which hold exactly",
             json_found(*multiple), kMaxMultiple);
    range.multiple_of = *n;
    whole = true;
  }
  if (!range.min && !range.max && range.multiple_of == 1) return whole ? text.integer() : text.number();
  if (!whole) range.max_fraction = fraction_digits(place, range);
  return number_in(range, out);
}

}  // namespace fathom::grammar
