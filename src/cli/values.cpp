#include "cli/values.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <random>

#include "base/error.h"
#include "base/text/suggest.h"

namespace fathom {
namespace {

// All of `text` as a number, with one "+" in front if somebody likes it.
template <class T>
bool read_all(std::string_view text, T& value) {
  if (text.starts_with('+') && !text.starts_with("+-")) text.remove_prefix(1);
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

std::string refusal(const std::string& value, const std::string& needed) {
  return value.empty() ? fmt::format("is empty; it must be {}", needed)
                       : fmt::format("is {}; it must be {}", quoted_for_message(value, 40), needed);
}

template <class T>
CLI::Validator number(T least, T most, const std::string& needed) {
  return CLI::Validator(
      [=](std::string& text) -> std::string {
        T value = 0;
        if (!read_all(text, value) || !(value >= least && value <= most)) return refusal(text, needed);
        text = fmt::format("{}", value);  // CLI11 would read 010 as octal
        return {};
      },
      "");
}

std::optional<std::pair<int32_t, double>> read_logit_bias(std::string_view text) {
  const size_t at = text.find_first_of("=+-");
  if (at == std::string_view::npos) return std::nullopt;
  std::pair<int32_t, double> read;
  const std::string_view id = text.substr(0, at), bias = text.substr(text[at] == '=' ? at + 1 : at);
  if (!read_all(id, read.first) || !read_all(bias, read.second)) return std::nullopt;
  if (!(read.second >= -100 && read.second <= 100)) return std::nullopt;
  return read;
}

std::string list(const std::vector<std::string>& words) {
  std::string out;
  for (size_t i = 0; i < words.size(); ++i)
    out += fmt::format("{}{}", i == 0 ? "" : i + 1 == words.size() ? " or " : ", ", words[i]);
  return out;
}

// Powers of a size's unit in lower case, or 0 when it is none.
double unit_bytes(std::string_view unit) {
  if (unit.ends_with('b')) unit.remove_suffix(1);
  const double base = unit.ends_with('i') ? 1024 : 1000;
  if (unit.size() > 1 && unit.ends_with('i')) unit.remove_suffix(1);
  constexpr std::string_view kPrefixes = "kmgtpe";
  if (unit.empty()) return 1;
  const size_t at = unit.size() == 1 ? kPrefixes.find(unit[0]) : std::string_view::npos;
  return at == std::string_view::npos ? 0 : std::pow(base, static_cast<double>(at + 1));
}

std::string read_size(std::string& text) {
  const std::string number_part = text.substr(0, text.find_first_not_of("0123456789."));
  const std::string rest = lower_case(text.substr(number_part.size()));
  const double unit = unit_bytes(rest.substr(std::min(rest.find_first_not_of(' '), rest.size())));
  double value = 0;
  constexpr double kMost = 1e18;
  if (!read_all(number_part, value) || unit == 0 || !(value * unit <= kMost))
    return refusal(text, "a size, for example 2GB, 500MB or 1GiB");
  text = fmt::format("{}", static_cast<uint64_t>(std::llround(value * unit)));
  return {};
}

// An empty text means something here: no system message, a file is one document, a text of no characters.
constexpr std::array<std::string_view, 3> kMayBeEmpty = {"--system", "--document-separator", "text"};

}  // namespace

CLI::Validator whole_number(int64_t least, int64_t most) {
  return number(least, most,
                most == INT64_MAX ? fmt::format("a whole number, {} or more", least)
                                  : fmt::format("a whole number from {} to {}", least, most));
}

CLI::Validator real_number(double least, double most) {
  return number(least, most, fmt::format("a number from {} to {}", least, most));
}

CLI::Validator quantity(double least, double most) {
  return CLI::Validator(
      [=](std::string& text) -> std::string {
        constexpr std::string_view kUnits = "kmbt", kSame = "kmgt";  // 1B and 1G are a thousand millions
        const std::string last = text.empty() ? "" : lower_case(text.substr(text.size() - 1));
        const size_t unit = last.empty() ? std::string::npos : std::min(kUnits.find(last), kSame.find(last));
        const bool has_unit = unit != std::string::npos;
        double value = 0;
        const bool read = read_all(std::string_view(text).substr(0, text.size() - (has_unit ? 1 : 0)), value);
        if (read && has_unit) value *= std::pow(1000.0, static_cast<double>(unit + 1));
        if (!read || !(value >= least && value <= most))
          return refusal(text, fmt::format("a number from {} to {}, for example 30M", least, most));
        text = fmt::format("{}", value);
        return {};
      },
      "");
}

CLI::Validator seed_number() { return number<uint64_t>(0, UINT64_MAX, "a whole number from 0 to 2^64 - 1"); }

uint32_t random_seed() { return std::random_device()(); }

CLI::Validator seed_or_random(uint64_t random) {
  return CLI::Validator(
      [random, given = number<uint64_t>(0, UINT64_MAX, "a whole number from 0 to 2^64 - 1, or -1 for a random one")](
          std::string& text) -> std::string {
        if (text == "-1") text = std::to_string(random);
        return given(text);
      },
      "");
}

CLI::Validator logit_bias() {
  return CLI::Validator(
      [](std::string& text) -> std::string {
        return read_logit_bias(text) ? "" : refusal(text, "ID=BIAS, a token id and a number from -100 to 100");
      },
      "");
}

std::pair<int32_t, double> parse_logit_bias(const std::string& text) {
  const auto read = read_logit_bias(text);
  check(read.has_value(), "the validator takes no other texts");
  return *read;
}

CLI::Validator one_of(std::vector<std::string> words) {
  std::string description = fmt::format("{{{}}}", fmt::join(words, ","));
  return CLI::Validator(
      [words = std::move(words)](std::string& text) -> std::string {
        const std::string lower = lower_case(text);
        if (std::find(words.begin(), words.end(), lower) == words.end()) {
          const std::string near = text.empty() ? "" : did_you_mean(lower, words);
          return refusal(text, list(words)) + (near.empty() ? "" : "." + near);
        }
        text = lower;
        return {};
      },
      std::move(description));
}

CLI::Validator byte_size() { return CLI::Validator(read_size, ""); }

void refuse_empty_values(CLI::App& app) {
  for (CLI::Option* option : app.get_options()) {
    if (option->get_items_expected_max() == 0) continue;  // a flag
    const std::string name = option->get_name();
    if (std::find(kMayBeEmpty.begin(), kMayBeEmpty.end(), name) != kMayBeEmpty.end()) continue;
    option->check([](const std::string& text) {
      return text.empty() ? "is empty; is a variable of the shell not set?" : std::string();
    });
  }
  for (CLI::App* command : app.get_subcommands({})) refuse_empty_values(*command);
}

}  // namespace fathom
