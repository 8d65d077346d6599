#include "measure/work.h"

#include <algorithm>
#include <charconv>

#include "base/error.h"

namespace fathom {
namespace {

constexpr int64_t kLargest = int64_t{1} << 24;

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (size_t at = 0;;) {
    const size_t end = text.find(separator, at);
    parts.push_back(text.substr(at, end - at));
    if (end == std::string_view::npos) return parts;
    at = end + 1;
  }
}

bool read_number(std::string_view text, int64_t least, int64_t& value) {
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && stop == text.data() + text.size() && value >= least && value <= kLargest;
}

}  // namespace

std::string to_text(const Work& w) {
  if (w.kind == WorkKind::prefill) return fmt::format("prefill:{}:{}", w.tokens, w.depth);
  return fmt::format("decode:{}:{}:{}", w.tokens, w.depth, w.sequences);
}

Work parse_work(std::string_view text) {
  const auto parts = split(text, ':');
  const bool prefill = parts[0] == "prefill";
  Work w{.kind = prefill ? WorkKind::prefill : WorkKind::decode};
  if ((prefill || parts[0] == "decode") && parts.size() >= 2 && parts.size() <= (prefill ? 3u : 4u) &&
      read_number(parts[1], 1, w.tokens) && (parts.size() < 3 || read_number(parts[2], 0, w.depth)) &&
      (parts.size() < 4 || read_number(parts[3], 1, w.sequences)))
    return w;
  throw_bad_input(
      "{} is no work; it must be prefill:TOKENS:DEPTH or decode:STEPS:DEPTH:SEQUENCES, for example prefill:512:4096",
      quoted_for_message(text));
}

std::string describe(const Work& w) {
  std::string text = w.kind == WorkKind::prefill ? fmt::format("prefill {}", w.tokens) : "decode";
  if (w.sequences > 1) text += fmt::format(" {} sequences", w.sequences);
  if (w.depth > 0) text += fmt::format(" at {}", w.depth);
  return text;
}

std::vector<Work> list_works(const WorkLists& lists) {
  std::vector<Work> works;
  const auto add = [&](const Work& w) {
    if (std::find(works.begin(), works.end(), w) == works.end()) works.push_back(w);
  };
  for (const int64_t prompt : lists.prompts)
    for (const int64_t depth : lists.depths) add({WorkKind::prefill, prompt, depth, 1});
  for (const int64_t depth : lists.depths) add({WorkKind::decode, lists.steps, depth, 1});
  for (const int64_t batch : lists.batches)
    if (!lists.depths.empty()) add({WorkKind::decode, lists.steps, lists.depths.front(), batch});
  return works;
}

std::vector<int64_t> parse_numbers(std::string_view text, std::string_view option, int64_t least) {
  std::vector<int64_t> numbers;
  for (const std::string_view part : split(text, ',')) {
    int64_t value = 0;
    if (!read_number(part, least, value))
      throw_bad_input("{} {}: needs whole numbers of at least {}, separated by commas, for example {}", option,
                      quoted_for_message(text), least, std::max<int64_t>(least, 1) * 512);
    numbers.push_back(value);
  }
  return numbers;
}

}  // namespace fathom
