#include "convert/text_files.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/file/file.h"
#include "base/json/json.h"
#include "base/text/utf8.h"
#include "config/config_gguf.h"
#include "config/ignored_keys.h"
#include "convert/generation_config.h"
#include "load/text.h"
#include "tokenizer/tokenizer.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

constexpr std::array kTextFiles = {"tokenizer.json",        "tokenizer_config.json", "special_tokens_map.json",
                                   "added_tokens.json",     "chat_template.jinja",   "chat_template.json",
                                   "generation_config.json"};
constexpr const char* kNamedTemplates = "additional_chat_templates";

constexpr const char* kEosIds = "tokenizer.ggml.eos_token_ids";
constexpr const char* kTokenizerConfig = "fathom.tokenizer_config";
constexpr const char* kSpecialTokensMap = "fathom.special_tokens_map";

// Of tokenizer_config.json: what a GGUF says in its own keys, and what tokenizer.json made from one makes untrue.
constexpr std::array<std::string_view, 5> kSaidElsewhere = {"chat_template", "added_tokens_decoder", "tokenizer_class",
                                                            "add_bos_token", "add_eos_token"};
bool is_said_elsewhere(std::string_view key) {
  return std::find(kSaidElsewhere.begin(), kSaidElsewhere.end(), key) != kSaidElsewhere.end();
}

fs::path folder_of(const Model& model) {
  if (fs::is_directory(model.path)) return model.path;
  return model.path.has_parent_path() ? model.path.parent_path() : fs::path(".");
}

const GgufSource* as_gguf(const Model& model) { return dynamic_cast<const GgufSource*>(model.source.get()); }

// Keys that describe one file rather than the model, or that convert_model writes itself.
bool describes_the_file(const std::string& key, const std::string& architecture) {
  for (const std::string_view own :
       {"general.architecture", "general.file_type", "general.quantization_version", "general.alignment"})
    if (key == own) return true;
  for (const std::string& space :
       {architecture + ".", std::string("split."), std::string("quantize."), std::string("GGUF.")})
    if (key.starts_with(space)) return true;
  return false;
}

void add_config_ids(const ModelConfig& c, GgufMetadata& keys) {
  const auto set_missing = [&](const char* key, std::optional<int64_t> id) {
    if (id && !keys.has(key)) keys.set_u32(key, static_cast<uint32_t>(*id));
  };
  set_missing("tokenizer.ggml.bos_token_id", c.bos_token_id);
  set_missing("tokenizer.ggml.padding_token_id", c.pad_token_id);
  if (c.eos_token_ids.empty()) return;
  set_missing("tokenizer.ggml.eos_token_id", c.eos_token_ids[0]);
  if (c.eos_token_ids.size() == 1 && keys.get_int("tokenizer.ggml.eos_token_id") == c.eos_token_ids[0]) return;
  // llama.cpp has two more names for an id that ends an answer, Ollama a list.
  std::vector<int32_t> all;
  for (const int64_t id : c.eos_token_ids) {
    all.push_back(static_cast<int32_t>(id));
    if (id == keys.get_int("tokenizer.ggml.eos_token_id")) continue;
    set_missing(keys.has("tokenizer.ggml.eot_token_id") ? "tokenizer.ggml.eom_token_id" : "tokenizer.ggml.eot_token_id",
                id);
  }
  keys.set_i32s(kEosIds, all);
}

std::optional<std::string> text_of(const fs::path& path) {
  std::error_code ignored;
  if (!fs::exists(path, ignored)) return std::nullopt;
  return std::string(without_byte_order_mark(read_file(path)));
}

// tokenizer_config.json of a folder without what the GGUF says elsewhere; empty when that is nothing.
std::string rest_of_tokenizer_config(const fs::path& path) {
  const auto text = text_of(path);
  if (!text) return "";
  const json::value document = parse_json(*text, path.string());
  if (!document.is_object()) return "";
  json::object rest;
  for (const auto& [key, value] : document.get_object())
    if (!is_said_elsewhere(key)) rest[key] = value;
  return rest.empty() ? "" : json::serialize(rest);
}

// The tokenizer_config.json that follows from the vocabulary, with all templates and what the folder had beside.
std::string tokenizer_config(const Tokenizer& tokenizer, const Model& model, const GgufMetadata& m) {
  const json::value made = parse_json(to_tokenizer_config_json(tokenizer), "tokenizer_config.json");
  json::object config = made.get_object();
  if (const auto kept = m.get_string(kTokenizerConfig)) {
    const json::value document = parse_json(*kept, fmt::format("{}: {}", m.where(), kTokenizerConfig));
    if (document.is_object())
      for (const auto& [key, value] : document.get_object())
        if (!config.contains(key) && !is_said_elsewhere(key)) config[key] = value;
  }
  const ChatTemplates templates = load_chat_templates(model);
  if (templates.size() == 1 && templates.contains("default")) {
    config["chat_template"] = templates.at("default");
  } else if (!templates.empty()) {
    json::array list;
    for (const auto& [name, text] : templates) list.push_back(json::object{{"name", name}, {"template", text}});
    config["chat_template"] = std::move(list);
  }
  return to_pretty_json(config);
}

std::map<std::string, std::string> files_beside_weights(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const char* name : kTextFiles)
    if (fs::exists(folder / name)) files.emplace(name, read_file(folder / name));
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder / kNamedTemplates, ignored))
    if (entry.path().extension() == ".jinja")
      files.emplace(fmt::format("{}/{}", kNamedTemplates, entry.path().filename().string()), read_file(entry.path()));
  return files;
}

// Whether a folder made from the GGUF says what the key says.
bool has_a_place_in_folders(std::string_view key) {
  // Of tokenizer.ggml.*. Scores and the space in front belong to other kinds of vocabularies.
  constexpr std::array kVocabulary =
      std::to_array<std::string_view>({"model", "pre", "tokens", "token_type", "merges", "scores", "add_space_prefix",
                                       "bos_token_id", "eos_token_id", "eot_token_id", "eom_token_id", "eos_token_ids",
                                       "unknown_token_id", "padding_token_id", "add_bos_token", "add_eos_token"});
  constexpr std::string_view kOfVocabulary = "tokenizer.ggml.";
  if (key.starts_with(kOfVocabulary))
    return std::find(kVocabulary.begin(), kVocabulary.end(), key.substr(kOfVocabulary.size())) != kVocabulary.end();
  return key == "general.name" || key == "general.type" || is_sampling_key(key) || key.starts_with("fathom.") ||
         key.starts_with("tokenizer.chat_template");
}

}  // namespace

std::map<std::string, std::string> folder_text_files(const Model& model) {
  const GgufSource* gguf = as_gguf(model);
  if (gguf == nullptr) return files_beside_weights(folder_of(model));
  const GgufMetadata& m = gguf->metadata();
  std::map<std::string, std::string> files;
  files.emplace("generation_config.json", generation_config_from_gguf(m, model.config));
  if (!has_tokenizer(model)) return files;
  const Tokenizer tokenizer = load_tokenizer(model);
  files.emplace("tokenizer.json", to_tokenizer_json(tokenizer));
  files.emplace("tokenizer_config.json", tokenizer_config(tokenizer, model, m));
  if (const auto map = m.get_string(kSpecialTokensMap)) files.emplace("special_tokens_map.json", *map);
  return files;
}

GgufMetadata gguf_text_keys(const Model& model) {
  GgufMetadata keys;
  if (const GgufSource* gguf = as_gguf(model)) {
    const std::string architecture = gguf->metadata().get_string("general.architecture").value_or("");
    for (const std::string& key : gguf->metadata().keys())
      if (!describes_the_file(key, architecture)) keys.set(key, *gguf->metadata().find(key));
    return keys;
  }
  const fs::path folder = folder_of(model);
  keys.set_string("general.type", "model");
  keys.set_string("general.name", (fs::absolute(folder) / "").lexically_normal().parent_path().filename().string());
  VocabularyData vocabulary;
  if (has_tokenizer(model))
    vocabulary = to_vocabulary(load_tokenizer(model), static_cast<int32_t>(model.config.vocab_size));
  vocabulary_to_gguf(vocabulary, keys);
  chat_templates_to_gguf(load_chat_templates(model), keys);
  add_config_ids(model.config, keys);
  if (const auto text = text_of(folder / "generation_config.json"))
    generation_config_to_gguf(*text, (folder / "generation_config.json").string(), keys);
  if (const std::string rest = rest_of_tokenizer_config(folder / "tokenizer_config.json"); !rest.empty())
    keys.set_string(kTokenizerConfig, rest);
  if (const auto text = text_of(folder / "special_tokens_map.json")) keys.set_string(kSpecialTokensMap, *text);
  return keys;
}

std::vector<std::string> lost_in_folder(const Model& model) {
  const GgufSource* gguf = as_gguf(model);
  if (gguf == nullptr) return {};
  const std::string architecture = gguf->metadata().get_string("general.architecture").value_or("");
  std::vector<std::string> lost;
  for (const std::string& key : gguf->metadata().keys())
    if (!describes_the_file(key, architecture) && !has_a_place_in_folders(key))
      lost.push_back(fmt::format("{} has no place in a folder: {}", key, gguf->metadata().text(key)));
  return lost;
}

std::vector<std::string> lost_in_gguf(const Model& model) {
  if (as_gguf(model) != nullptr || !has_tokenizer(model)) return {};
  const Tokenizer tokenizer = load_tokenizer(model);
  std::vector<std::string> lost;
  const auto compare = [&](const char* name, std::optional<int64_t> config, std::optional<int32_t> own) {
    if (config && own && *config != *own)
      lost.push_back(
          fmt::format("{} of config.json is {}, the tokenizer's is {}; a GGUF file has room for one, the tokenizer's",
                      name, *config, *own));
  };
  compare("bos_token_id", model.config.bos_token_id, tokenizer.bos());
  compare("pad_token_id", model.config.pad_token_id, tokenizer.pad());
  return lost;
}

}  // namespace fathom
