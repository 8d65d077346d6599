#include "train/config/config_table.h"

#include "train/config/config_keys.h"
#include "train/config/model_keys.h"
#include "train/config/toml_text.h"

namespace fathom {
namespace {

const char* resume_word(OnResume r) {
  switch (r) {
    case OnResume::refused:
      return "no";
    case OnResume::schedule:
      return "if the rates so far stay";
    case OnResume::told:
    case OnResume::free:
      break;
  }
  return "yes";
}

// Pipes would end a cell.
std::string row(std::string_view name, std::string_view type, std::string_view default_text, OnResume on_resume,
                std::string_view meaning) {
  return fmt::format("| `{}` | {} | {} | {} | {} |\n", name, type, default_text, resume_word(on_resume), meaning);
}

std::string heading(std::string_view section) {
  return fmt::format("\n## [{}]\n| Key | Type | Default | May change on resume | Meaning |\n|---|---|---|---|---|\n",
                     section);
}

// A visitor of visit_config_keys: a table for each section.
class TableWriter {
 public:
  std::string text;

  void operator()(const ConfigKey& key, const std::string& field) {
    add(key, "text", field.empty() ? "none" : toml_quoted(field));
  }
  void operator()(const ConfigKey& key, bool field) { add(key, "boolean", fmt::format("{}", field)); }
  template <class Integer>
  void operator()(const ConfigKey& key, Integer field, const Bounds&) requires(std::is_integral_v<Integer>) {
    add(key, "integer", fmt::format("{}", field));
  }
  void operator()(const ConfigKey& key, double field, const Bounds&) { add(key, "number", fmt::format("{}", field)); }
  void operator()(const ConfigKey& key, const std::vector<double>& field, const Bounds&) {
    add(key, "list of numbers", fmt::format("[{}]", fmt::join(field, ", ")));
  }
  template <class Enum>
  void operator()(const ConfigKey& key, Enum field, const Choices& choices) requires(std::is_enum_v<Enum>) {
    add(key, fmt::format("`{}` or `{}`", choices[0], choices[1]), toml_quoted(choices[static_cast<size_t>(field)]));
  }

 private:
  void add(const ConfigKey& key, std::string_view type, const std::string& value) {
    if (key.section != section_) text += heading(section_ = key.section);
    const std::string default_text = key.required              ? "**required**"
                                     : key.followed != nullptr ? fmt::format("that of `{}`", key.followed_name)
                                                               : value;
    text += row(key.name, type, default_text, key.on_resume, key.meaning);
  }

  std::string_view section_;
};

std::string needed_word(const ModelKey& k) {
  switch (k.needed) {
    case Needed::always:
    case Needed::in_rope_scaling:
      return "**required**";
    case Needed::with_latent_attention:
      return "**required** by `deepseek_v2`";
    case Needed::with_experts:
      return "**required** with experts";
    case Needed::with_groups:
      return "**required** but with `greedy`";
    case Needed::no:
      break;
  }
  return std::string(k.default_text);
}

std::string model_table(std::string_view section, std::span<const ModelKey> keys) {
  std::string text = heading(section);
  for (const ModelKey& k : keys) text += row(k.name, k.type, needed_word(k), k.on_resume, k.meaning);
  return text;
}

}  // namespace

std::string config_table() {
  TrainConfig defaults;
  TableWriter writer;
  visit_config_keys(defaults, writer);
  return "# Keys of a training config\n"
         "`fathom train --keys` prints this file; a test holds the two together. `fathom init` writes a config with\n"
         "comments, and `configs/` has more. An unknown key is refused with the nearest known one; all that is wrong "
         "is\n"
         "told at once. What may change between a checkpoint and the run that goes on from it: `docs/training.md`.\n" +
         model_table("model", model_keys()) +
         "\nThe keys are those of a `config.json`: what such a file may hold besides is accepted or refused as "
         "there.\n" +
         model_table("model.rope_scaling", rope_scaling_keys()) + writer.text;
}

}  // namespace fathom
