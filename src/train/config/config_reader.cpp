#include "train/config/config_reader.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/text/suggest.h"

namespace fathom {
namespace {

std::string range_text(const Bounds& b) {
  if (std::isfinite(b.high)) return fmt::format("between {} and {}", b.low, b.high);
  return b.low_excluded ? fmt::format("greater than {}", b.low) : fmt::format("at least {}", b.low);
}

bool is_near(std::string_view word, std::string_view known) {
  const std::string one(known);
  return !did_you_mean(word, {&one, 1}).empty();
}

}  // namespace

void ConfigProblems::throw_if_any(const std::string& where) const {
  if (texts_.empty()) return;
  if (texts_.size() == 1) throw_bad_input("{}: {}", where, texts_[0]);
  throw_bad_input("{}: {} things to mend\n  {}", where, texts_.size(), fmt::join(texts_, "\n  "));
}

std::string must_be(std::string_view key, const std::string& found, const std::string& needed) {
  return fmt::format("{} is {}; it must be {}", key, found, needed);
}

ConfigReader::ConfigReader(const json::object& file, const std::vector<std::string>& sections, ConfigProblems& problems)
    : file_(file), problems_(problems) {
  for (const auto& [name, value] : file) {
    if (std::find(sections.begin(), sections.end(), std::string_view(name)) != sections.end()) continue;
    problems.add(fmt::format("the section {} is not known; known ones are: {}.{}", quoted_for_message(name),
                             fmt::join(sections, ", "), did_you_mean(std::string_view(name), sections)));
    for (const std::string& known : sections)
      if (!file.contains(known) && is_near(std::string_view(name), known)) misspelt_.insert(known);
  }
}

const json::object* ConfigReader::section(std::string_view name) {
  const json::value* v = file_.if_contains(name);
  if (v == nullptr) return nullptr;
  if (!v->is_object() && reported_.emplace(name).second)
    problems_.add(fmt::format("{} must be a table: [{}]", name, name));
  return v->if_object();
}

const json::value* ConfigReader::find(const ConfigKey& key) {
  asked_[std::string(key.section)].emplace(key.name);
  const json::object* table = section(key.section);
  const json::value* v = table == nullptr ? nullptr : table->if_contains(key.name);
  if (v == nullptr && key.required && !is_misspelt(key.section)) missing_.push_back(key);
  return v;
}

void ConfigReader::wrong(const ConfigKey& key, const std::string& found, const std::string& needed) {
  problems_.add(key.section, must_be(key.name, found, needed));
}

bool ConfigReader::within(const ConfigKey& key, double value, const Bounds& b) {
  const bool above = b.low_excluded ? value > b.low : value >= b.low;
  if (above && value <= b.high && std::isfinite(value)) return true;
  wrong(key, fmt::format("{}", value), range_text(b));
  return false;
}

void ConfigReader::operator()(const ConfigKey& key, std::string& field) {
  const json::value* v = find(key);
  if (v == nullptr) return;
  if (!v->is_string()) return wrong(key, json_kind_name(*v), "a string");
  if (key.required && v->get_string().empty()) return wrong(key, "empty", key.meaning.data());
  field = std::string_view(v->get_string());
}

void ConfigReader::operator()(const ConfigKey& key, bool& field) {
  const json::value* v = find(key);
  if (v == nullptr) return;
  if (!v->is_bool()) return wrong(key, json_kind_name(*v), "true or false");
  field = v->get_bool();
}

void ConfigReader::operator()(const ConfigKey& key, int64_t& field, const Bounds& bounds) {
  const json::value* v = find(key);
  if (v == nullptr) {
    if (key.followed != nullptr) field = *key.followed;
    return;
  }
  if (!v->is_int64()) return wrong(key, json_kind_name(*v), "a whole number");
  if (within(key, static_cast<double>(v->get_int64()), bounds)) field = v->get_int64();
}

void ConfigReader::operator()(const ConfigKey& key, uint64_t& field, const Bounds& bounds) {
  auto value = static_cast<int64_t>(field);
  (*this)(key, value, bounds);  // bounds begin at 0 or above
  field = static_cast<uint64_t>(value);
}

void ConfigReader::operator()(const ConfigKey& key, double& field, const Bounds& bounds) {
  const json::value* v = find(key);
  if (v == nullptr) return;
  if (!v->is_number()) return wrong(key, json_kind_name(*v), "a number");
  if (const auto number = v->to_number<double>(); within(key, number, bounds)) field = number;
}

void ConfigReader::operator()(const ConfigKey& key, std::vector<double>& field, const Bounds& bounds) {
  const json::value* v = find(key);
  if (v == nullptr) return;
  if (!v->is_array()) return wrong(key, json_kind_name(*v), "a list of numbers");
  std::vector<double> numbers;
  for (const json::value& element : v->get_array()) {
    if (!element.is_number())
      return wrong(key, fmt::format("a list with {}", json_kind_name(element)), "a list of numbers");
    if (!within(key, element.to_number<double>(), bounds)) return;
    numbers.push_back(element.to_number<double>());
  }
  field = std::move(numbers);
}

size_t ConfigReader::choice(const ConfigKey& key, const Choices& choices, size_t fallback) {
  const json::value* v = find(key);
  if (v == nullptr) return fallback;
  const json::string* text = v->if_string();
  const auto* found = text == nullptr ? choices.end() : std::find(choices.begin(), choices.end(), *text);
  if (found != choices.end()) return static_cast<size_t>(found - choices.begin());
  wrong(key, text == nullptr ? json_kind_name(*v) : quoted_for_message(*text),
        fmt::format("one of: {}", fmt::join(choices, ", ")));
  return fallback;
}

void ConfigReader::refuse_unknown(const std::string& section_name, const json::object& table,
                                  const std::vector<std::string>& known) {
  for (const auto& [key, value] : table) {
    const std::string word(key);
    if (std::find(known.begin(), known.end(), word) != known.end()) continue;
    const std::string hint = did_you_mean(word, known);
    problems_.add(section_name,
                  fmt::format("the key {} is not known{}", quoted_for_message(word),
                              hint.empty() ? fmt::format("; known keys are: {}", fmt::join(known, ", ")) : "." + hint));
    std::erase_if(missing_, [&](const ConfigKey& m) { return m.section == section_name && is_near(word, m.name); });
  }
}

void ConfigReader::finish() {
  for (const auto& [name, known] : asked_)
    if (const json::object* table = section(name)) refuse_unknown(name, *table, {known.begin(), known.end()});
  for (const ConfigKey& m : missing_)
    problems_.add(m.section, fmt::format("the key {} is missing: {}", m.name, m.meaning));
}

}  // namespace fathom
