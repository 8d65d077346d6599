// Filters and functions that make text (jinja_filters.h).
#include <algorithm>
#include <array>
#include <ctime>

#include "jinja/filters.h"

namespace fathom::jinja {

using Args = const Arguments&;

Value title_filter(Meter& meter, const Value& x, Args args) {
  args.bind({}, 0);
  Text text = change_case(text_of(meter, x), Case::lower);
  text.markup = false;
  bool begins_word = true;
  for (size_t i = 0; i < text.size(); ++i) {
    char& c = text.bytes[i];
    if (begins_word && c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
    begins_word = c == '-' || c == '(' || c == '{' || c == '[' || c == '<' || is_space(static_cast<unsigned char>(c));
  }
  return text;
}

Value indent_filter(Meter& meter, const Value& x, Args args) {
  const auto a = args.bind({"width", "first", "blank"}, 0);
  Text text = text_argument(args, x), margin("    ");
  if (text.markup) refuse("'indent' of what 'safe' or 'escape' gives");
  if (a[0] && a[0]->text()) {
    margin = *a[0]->text();
  } else if (a[0]) {
    const int64_t width = integer_argument(args, *a[0]);
    if (width > 1000) refuse("indent by {}", width);
    margin = Text(std::string(static_cast<size_t>(std::max<int64_t>(width, 0)), ' '));
  }
  const bool first = a[1] && is_true(*a[1]), blank = a[2] && is_true(*a[2]);
  meter.bytes(text.size());
  text.append("\n");
  const std::vector<Text> lines = split_lines(text);
  meter.items(lines.size());
  meter.bytes((lines.size() + 1) * margin.size() + text.size());
  Text out;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (i > 0) out.append("\n");
    if (i == 0 ? first : blank || !lines[i].empty()) out.append(margin);
    out.append(lines[i]);
  }
  return out;
}

Value safe_filter(Meter& meter, const Value& x, Args args) {
  args.bind({}, 0);
  Text text = text_of(meter, x);
  text.markup = true;
  return text;
}

Value escape_filter(Meter& meter, const Value& x, Args args) {
  args.bind({}, 0);
  const Text text = text_of(meter, x);
  meter.bytes(5 * text.size());
  return escaped(text);
}

namespace {

// What stands between the braces of str.format. next: the number that an empty field takes.
const Value& field_value(std::string_view name, size_t& next, Args args) {
  const bool is_number = name.find_first_not_of("0123456789") == std::string_view::npos && name.size() < 4;
  if (is_number) {
    const size_t at = name.empty() ? next++ : std::stoul(std::string(name));
    if (at >= args.plain.size()) fault("'format' has no argument {}", at);
    return args.plain[at];
  }
  if (name.find_first_of(":!.[{") != std::string_view::npos)
    refuse("the field {} of 'format'", quoted_for_message(name));
  const auto found = std::find_if(args.named.begin(), args.named.end(), [&](const auto& p) { return p.first == name; });
  if (found == args.named.end()) fault("'format' has no argument {}", quoted_for_message(name));
  return found->second;
}

}  // namespace

Value format_method(Meter& meter, const Text& text, Args args) {
  Text out;
  size_t next = 0;
  meter.bytes(text.size());
  const std::string_view bytes = text.bytes;
  for (size_t i = 0; i < bytes.size();) {
    const size_t brace = std::min(bytes.find_first_of("{}", i), bytes.size());
    out.append(text, i, brace);
    if (brace == bytes.size()) break;
    if (bytes.substr(brace + 1).starts_with(bytes[brace])) {  // {{ and }} stand for one brace
      out.append(text, brace, brace + 1);
      i = brace + 2;
      continue;
    }
    const size_t close = bytes[brace] == '{' ? bytes.find('}', brace) : std::string_view::npos;
    if (close == std::string_view::npos) fault("'format' found a single '{}'", bytes[brace]);
    const Text value = text_of(meter, field_value(bytes.substr(brace + 1, close - brace - 1), next, args));
    meter.bytes(value.size());
    out.append(value);
    i = close + 1;
  }
  return out;
}

Value format_time(Meter& meter, const Text& format, const std::tm& time) {
  meter.bytes(32 * format.size());
  std::string checked;
  for (size_t i = 0; i < format.size(); ++i) {
    checked += format.bytes[i];
    if (format.bytes[i] == '\0') refuse("a NUL in the format of 'strftime_now'");
    if (format.bytes[i] != '%') continue;
    const size_t begin = i++;
    if (i < format.size() && std::string_view("-_0^#").find(format.bytes[i]) != std::string_view::npos) ++i;
    static constexpr std::string_view kKnown = "aAbBcCdDeFgGhHIjklmMnpPrRSTuUVwWxXyYzZ%";
    if (i >= format.size() || kKnown.find(format.bytes[i]) == std::string_view::npos)
      refuse("the directive {} of 'strftime_now'", quoted_for_message(format.bytes.substr(begin, i + 1 - begin)));
    checked.pop_back();
    const bool is_zone = format.bytes[i] == 'z' || format.bytes[i] == 'Z';  // Python's now() has none
    if (!is_zone) checked += format.bytes.substr(begin, i + 1 - begin);
  }
  std::string out(checked.size() * 32 + 1, '\0');
  out.resize(std::strftime(out.data(), out.size(), checked.c_str(), &time));
  const bool trusted = format.origin.find(static_cast<char>(Origin::untrusted)) == std::string::npos;
  return Text(out, trusted ? Origin::trusted : Origin::untrusted);
}

}  // namespace fathom::jinja
