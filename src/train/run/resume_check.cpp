#include "train/run/resume_check.h"

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "train/config/config_reader.h"
#include "train/config/model_keys.h"
#include "train/config/toml_text.h"
#include "train/schedule.h"

namespace fathom {
namespace {

struct Value {
  std::string section, key, text;
  OnResume on_resume = OnResume::refused;
  bool has_default = false;  // of its own
};

// A visitor of visit_config_keys. A key that follows another is left out where it does, so that a change of the other
// is told once.
class ValueWriter {
 public:
  std::vector<Value> values;

  void operator()(const ConfigKey& key, const std::string& field) { add(key, toml_quoted(field)); }
  void operator()(const ConfigKey& key, bool field) { add(key, fmt::format("{}", field)); }
  void operator()(const ConfigKey& key, int64_t field, const Bounds&) {
    if (key.followed == nullptr || field != *key.followed) add(key, fmt::format("{}", field));
  }
  void operator()(const ConfigKey& key, uint64_t field, const Bounds&) { add(key, fmt::format("{}", field)); }
  void operator()(const ConfigKey& key, double field, const Bounds&) { add(key, fmt::format("{}", field)); }
  void operator()(const ConfigKey& key, const std::vector<double>& field, const Bounds&) {
    add(key, fmt::format("[{}]", fmt::join(field, ", ")));
  }
  template <class Enum>
  void operator()(const ConfigKey& key, Enum field, const Choices& choices) {
    add(key, toml_quoted(choices[static_cast<size_t>(field)]));
  }

 private:
  void add(const ConfigKey& key, std::string text) {
    if (key.on_resume != OnResume::free)
      values.push_back({std::string(key.section), std::string(key.name), std::move(text), key.on_resume,
                        !key.required && key.followed == nullptr});
  }
};

std::vector<Value> values_of(TrainConfig c) {
  ValueWriter writer;
  visit_config_keys(c, writer);
  return writer.values;
}

std::vector<Value> model_values(const ModelConfig& config) {
  std::vector<Value> values;
  const json::value model = parse_json(config_to_json(config, "float32"), "model");
  for (const ModelKey& k : model_keys())
    if (const json::value* v = model.get_object().if_contains(k.name); v != nullptr && !v->is_null())
      values.push_back({"model", std::string(k.name), json::serialize(*v), k.on_resume});
  return values;
}

std::vector<Value> all_values(const TrainConfig& c) {
  std::vector<Value> values = model_values(c.model);
  for (Value& v : values_of(c)) values.push_back(std::move(v));
  return values;
}

const json::string* find(const json::object& saved, const std::string& section, const std::string& key) {
  const json::value* s = saved.if_contains(section);
  const json::object* table = s != nullptr ? s->if_object() : nullptr;
  const json::value* v = table != nullptr ? table->if_contains(key) : nullptr;
  return v != nullptr ? v->if_string() : nullptr;
}

struct Change {
  Value now;
  std::string before;
  std::string text() const { return fmt::format("[{}] {}: {} -> {}", now.section, now.key, before, now.text); }
};

const char* const kNotSet = "not set";

// A key that the checkpoint does not name had its default then: it followed another, or was not there yet.
std::string before_of(const Value& v, const json::object& saved, const std::vector<Value>& defaults) {
  if (const json::string* text = find(saved, v.section, v.key)) return std::string(*text);
  const auto same = std::find_if(defaults.begin(), defaults.end(),
                                 [&](const Value& d) { return d.section == v.section && d.key == v.key; });
  return same != defaults.end() && v.has_default ? same->text : kNotSet;
}

// Of a key that is not there any more; those of the other sections always are, unless they follow another.
OnResume on_resume_of(std::string_view section, std::string_view key) {
  for (const ModelKey& k : model_keys())
    if (section == "model" && k.name == key) return k.on_resume;
  return OnResume::refused;
}

bool is_among(const std::vector<Value>& values, std::string_view section, std::string_view key) {
  return std::any_of(values.begin(), values.end(),
                     [&](const Value& v) { return v.section == section && v.key == key; });
}

std::vector<Change> changes_since(const json::object& saved, const std::vector<Value>& now) {
  const std::vector<Value> defaults = values_of(TrainConfig{});
  std::vector<Change> changes;
  for (const Value& v : now)
    if (const std::string before = before_of(v, saved, defaults); before != v.text) changes.push_back({v, before});
  for (const auto& [section, table] : saved) {
    if (!table.is_object()) continue;
    for (const auto& [key, text] : table.get_object())
      if (text.is_string() && !is_among(now, section, key))
        changes.push_back({{std::string(section), std::string(key), kNotSet, on_resume_of(section, key)},
                           std::string(text.get_string())});
  }
  return changes;
}

json::object as_object(const std::vector<Value>& values) {
  json::object out;
  for (const Value& v : values) {
    if (!out.contains(v.section)) out[v.section] = json::object();
    out[v.section].get_object()[v.key] = v.text;
  }
  return out;
}

// Batch, optimizer and schedule as they were.
TrainConfig saved_config(const json::object& saved, const std::string& where) {
  std::string toml;
  for (const char* section : {"batch", "data", "optimizer", "schedule"}) {
    const json::value* table = saved.if_contains(section);
    if (table == nullptr || !table->is_object()) continue;
    toml += fmt::format("[{}]\n", section);
    for (const auto& [key, text] : table->get_object())
      if (text.is_string())
        toml += fmt::format("{} = {}\n", std::string_view(key), std::string_view(text.get_string()));
  }
  const json::object file = toml_to_json(toml, where);
  ConfigProblems ignored;  // keys that are not kept
  ConfigReader reader(file, {"batch", "data", "optimizer", "schedule"}, ignored);
  TrainConfig c;
  c.batch.micro_batch = 1;  // a divisor, whatever the file says
  visit_config_keys(c, reader);
  return c;
}

struct RateChange {
  int64_t step = 0;
  double before = 0, now = 0;
};

// The first step of those that were done whose learning rate would have been another.
std::optional<RateChange> first_rate_change(const TrainConfig& before, const TrainConfig& now, int64_t steps) {
  double tokens = 0;
  for (int64_t step = 0; step < steps; ++step) {
    const double a = learning_rate(before.optimizer, before.schedule, step, tokens),
                 b = learning_rate(now.optimizer, now.schedule, step, tokens);
    if (a != b) return RateChange{step + 1, a, b};
    tokens += static_cast<double>(batch_sequences(before.batch, tokens) * before.data.sequence_length);
  }
  return std::nullopt;
}

// decay_at that falls where it fell before.
std::string same_decays(const TrainConfig& before, const TrainConfig& now) {
  std::vector<std::string> fractions;
  for (double f : before.schedule.decay_at)
    if (const double moved = f * before.schedule.tokens / now.schedule.tokens; moved <= 1)
      fractions.push_back(fmt::format("{:.8g}", moved));
  return fmt::format("decay_at = [{}]", fmt::join(fractions, ", "));
}

std::string told(const Change& change, const TrainConfig& now, const TrainState& state) {
  std::string text = change.text();
  if (change.now.key != "micro_batch") return text;
  if (now.balance.capacity_factor > 0)
    text += "; what is dropped is chosen in each micro-batch, from here on in the new ones";
  else if (now.run.products == MatmulPrecision::bf16)
    text += "; from here on sums round in another order";
  if (static_cast<double>(state.tokens) < now.batch.ramp_tokens) text += "; the batch grows in steps of it";
  return text;
}

}  // namespace

json::object config_values(const TrainConfig& config) { return as_object(all_values(config)); }

std::vector<std::string> model_changes(const ModelConfig& before, const ModelConfig& now) {
  std::vector<std::string> texts;
  for (const Change& change : changes_since(as_object(model_values(before)), model_values(now)))
    if (change.now.on_resume == OnResume::refused) texts.push_back(change.text());
  return texts;
}

std::vector<std::string> check_config_unchanged(const json::object& saved, const TrainConfig& config,
                                                const TrainState& state, const std::string& where) {
  std::vector<std::string> refused, sentences;
  std::vector<Change> schedule;
  for (const Change& change : changes_since(saved, all_values(config))) {
    if (change.now.on_resume == OnResume::refused)
      refused.push_back(change.text());
    else if (change.now.on_resume == OnResume::schedule)
      schedule.push_back(change);
    else
      sentences.push_back(told(change, config, state));
  }
  const TrainConfig before = saved_config(saved, where);
  const auto rate = schedule.empty() ? std::nullopt : first_rate_change(before, config, state.step);
  const bool tokens_alone = schedule.size() == 1 && schedule[0].now.key == "tokens";
  for (const Change& change : schedule) {
    std::string text = change.text();
    if (rate)
      text += fmt::format("; the learning rate of step {} was {:.4g}, and would have been {:.4g}", rate->step,
                          rate->before, rate->now);
    if (rate && tokens_alone) text += fmt::format(" ({} keeps the rates)", same_decays(before, config));
    (rate && !tokens_alone ? refused : sentences).push_back(text);
  }
  if (!refused.empty())
    throw_bad_input(
        "{}: was made with another config: {}; put the old values back, or start a new run in another folder with -o",
        where, fmt::join(refused, "; "));
  return sentences;
}

}  // namespace fathom
