#include "convert/text_files.h"

#include <array>

#include "base/file.h"
#include "base/json.h"
#include "model/text.h"
#include "tokenizer/tokenizer.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

constexpr std::array kTextFiles = {"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                                   "chat_template.jinja", "generation_config.json"};

fs::path folder_of(const Model& model) {
  if (fs::is_directory(model.path)) return model.path;
  return model.path.has_parent_path() ? model.path.parent_path() : fs::path(".");
}

const GgufSource* as_gguf(const Model& model) { return dynamic_cast<const GgufSource*>(model.source.get()); }

// Keys that describe one file rather than the model.
bool describes_the_file(const std::string& key) {
  return key == "general.architecture" || key == "general.file_type" || key == "general.quantization_version" ||
         key == "general.alignment";
}

void add_config_ids(const ModelConfig& c, GgufMetadata& keys) {
  const auto set_missing = [&](const char* key, std::optional<int64_t> id) {
    if (id && !keys.has(key)) keys.set_u32(key, static_cast<uint32_t>(*id));
  };
  set_missing("tokenizer.ggml.bos_token_id", c.bos_token_id);
  set_missing("tokenizer.ggml.padding_token_id", c.pad_token_id);
  if (c.eos_token_ids.empty()) return;
  set_missing("tokenizer.ggml.eos_token_id", c.eos_token_ids[0]);
  // GGUF has one more name for an id that ends a turn.
  const auto eos = keys.get_int("tokenizer.ggml.eos_token_id");
  for (const int64_t id : c.eos_token_ids)
    if (id != eos) set_missing("tokenizer.ggml.eot_token_id", id);
}

}  // namespace

std::string generation_config_json(const ModelConfig& c) {
  json::object o{{"_from_model_config", true}};
  if (c.bos_token_id) o["bos_token_id"] = *c.bos_token_id;
  if (c.eos_token_ids.size() == 1) o["eos_token_id"] = c.eos_token_ids[0];
  if (c.eos_token_ids.size() > 1) o["eos_token_id"] = json::array(c.eos_token_ids.begin(), c.eos_token_ids.end());
  if (c.pad_token_id) o["pad_token_id"] = *c.pad_token_id;
  return to_pretty_json(o);
}

std::map<std::string, std::string> folder_text_files(const Model& model) {
  std::map<std::string, std::string> files;
  if (as_gguf(model) == nullptr) {
    for (const char* name : kTextFiles)
      if (fs::exists(folder_of(model) / name)) files.emplace(name, read_file(folder_of(model) / name));
    return files;
  }
  files.emplace("generation_config.json", generation_config_json(model.config));
  if (!has_tokenizer(model)) return files;
  const Tokenizer tokenizer = load_tokenizer(model);
  files.emplace("tokenizer.json", to_tokenizer_json(tokenizer));
  files.emplace("tokenizer_config.json", to_tokenizer_config_json(tokenizer, load_chat_template(model).value_or("")));
  return files;
}

GgufMetadata gguf_text_keys(const Model& model) {
  GgufMetadata keys;
  if (const GgufSource* gguf = as_gguf(model)) {
    for (const std::string& key : gguf->metadata().keys())
      if ((key.starts_with("general.") || key.starts_with("tokenizer.")) && !describes_the_file(key))
        keys.set(key, *gguf->metadata().find(key));
    return keys;
  }
  keys.set_string("general.type", "model");
  keys.set_string("general.name",
                  (fs::absolute(folder_of(model)) / "").lexically_normal().parent_path().filename().string());
  VocabularyData vocabulary;
  if (has_tokenizer(model))
    vocabulary = to_vocabulary(load_tokenizer(model), static_cast<int32_t>(model.config.vocab_size));
  vocabulary_to_gguf(vocabulary, keys);
  if (const auto chat_template = load_chat_template(model)) keys.set_string("tokenizer.chat_template", *chat_template);
  add_config_ids(model.config, keys);
  return keys;
}

}  // namespace fathom
