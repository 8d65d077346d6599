// The sections of a training config, read strictly: every key is asked for, a key that nobody asked for is an error,
// and all that is wrong is told at once.
#pragma once
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/json/json.h"
#include "train/config/config_keys.h"

namespace fathom {

// What is wrong with a config, collected.
class ConfigProblems {
 public:
  void add(std::string_view section, const std::string& text) {
    texts_.push_back(fmt::format("[{}]: {}", section, text));
  }
  // Of the file as a whole.
  void add(const std::string& text) { texts_.push_back(text); }
  bool empty() const noexcept { return texts_.empty(); }
  // bad_input with everything: one sentence, or a line for each problem. Nothing to tell: returns.
  void throw_if_any(const std::string& where) const;

 private:
  std::vector<std::string> texts_;
};

// "x, a list": how a value of another kind, or out of bounds, is told.
std::string must_be(std::string_view key, const std::string& found, const std::string& needed);

// A visitor of visit_config_keys: fills the fields from a file. A field whose key is absent or wrong keeps its value.
class ConfigReader {
 public:
  // `file` must stay. `sections`: those that are read here or elsewhere.
  ConfigReader(const json::object& file, const std::vector<std::string>& sections, ConfigProblems& problems);

  void operator()(const ConfigKey& key, std::string& field);
  void operator()(const ConfigKey& key, bool& field);
  void operator()(const ConfigKey& key, int64_t& field, const Bounds& bounds);
  void operator()(const ConfigKey& key, uint64_t& field, const Bounds& bounds);
  void operator()(const ConfigKey& key, double& field, const Bounds& bounds);
  void operator()(const ConfigKey& key, std::vector<double>& field, const Bounds& bounds);
  template <class Enum>
  void operator()(const ConfigKey& key, Enum& field, const Choices& choices) {
    field = static_cast<Enum>(choice(key, choices, static_cast<size_t>(field)));
  }

  // The table of that name; nothing when it is absent. What is no table is told.
  const json::object* section(std::string_view name);

  // Another section of the file is probably meant to be this one: that is told, and its keys are not called missing.
  bool is_misspelt(std::string_view name) const { return misspelt_.count(std::string(name)) > 0; }

  // After the visit: keys that were needed and are not there, and keys that nobody asked for.
  void finish();

 private:
  const json::value* find(const ConfigKey& key);
  size_t choice(const ConfigKey& key, const Choices& choices, size_t fallback);
  bool within(const ConfigKey& key, double value, const Bounds& bounds);
  void refuse_unknown(const std::string& section_name, const json::object& table,
                      const std::vector<std::string>& known);
  void wrong(const ConfigKey& key, const std::string& found, const std::string& needed);

  const json::object& file_;
  ConfigProblems& problems_;
  std::map<std::string, std::set<std::string>> asked_;  // by section
  std::vector<ConfigKey> missing_;
  std::set<std::string> misspelt_;  // sections that were probably meant by unknown ones: their keys are not missing
  std::set<std::string> reported_;  // sections that are no tables
};

}  // namespace fathom
