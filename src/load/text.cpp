#include "load/text.h"

#include <algorithm>

#include "base/error.h"
#include "base/file/file.h"
#include "base/trace.h"
#include "config/config_gguf.h"
#include "load/find_model.h"

namespace fathom {
namespace {

namespace fs = std::filesystem;

constexpr const char* kModel = "tokenizer.ggml.model";
constexpr const char* kAddedTokens = "fathom.added_tokens";
constexpr std::string_view kChatTemplate = "tokenizer.chat_template";

std::vector<int32_t> token_types(const GgufMetadata& m) {
  std::vector<int32_t> types;
  for (const int64_t t : m.get_ints("tokenizer.ggml.token_type").value_or(std::vector<int64_t>())) {
    if (t < 0 || t > INT32_MAX) throw_bad_input("{}: tokenizer.ggml.token_type holds {}", m.where(), t);
    types.push_back(static_cast<int32_t>(t));
  }
  return types;
}

fs::path folder_of(const fs::path& path) {
  std::error_code ignored;
  if (fs::is_directory(path, ignored)) return path;
  return path.has_parent_path() ? path.parent_path() : fs::path(".");
}

bool is_file(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(path, ignored);
}

Tokenizer tokenizer_of_folder(const fs::path& folder) {
  if (!is_file(folder / "tokenizer.json"))
    throw_bad_input("{}: there is no tokenizer.json; copy the tokenizer files of the original model beside the weights",
                    folder.string());
  const fs::path config = folder / "tokenizer_config.json";
  return Tokenizer::from_json(read_file(folder / "tokenizer.json"), is_file(config) ? read_file(config) : std::string(),
                              folder.string());
}

Tokenizer tokenizer_of_gguf(const GgufMetadata& metadata) {
  auto vocabulary = vocabulary_from_gguf(metadata);
  if (!vocabulary)
    throw_bad_input("{}: holds no vocabulary; convert it again with the tokenizer files beside the weights",
                    metadata.where());
  return Tokenizer::from_vocabulary(std::move(*vocabulary), metadata.where());
}

const GgufMetadata* gguf_metadata(const Model& model) {
  const auto* gguf = dynamic_cast<const GgufSource*>(model.source.get());
  return gguf != nullptr ? &gguf->metadata() : nullptr;
}

}  // namespace

std::optional<VocabularyData> vocabulary_from_gguf(const GgufMetadata& m) {
  const auto kind = m.get_string(kModel);
  if (!kind || *kind == "none" || *kind == "no_vocab") return std::nullopt;
  if (*kind != "gpt2")
    throw_unsupported("{}: {} is {}; fathom reads 'gpt2' (byte-level BPE), which all DeepSeek models have", m.where(),
                      kModel, quoted_for_message(*kind, 40));
  VocabularyData v;
  v.tokens = m.get_strings("tokenizer.ggml.tokens").value_or(std::vector<std::string>());
  v.token_types = token_types(m);
  v.merges = m.get_strings("tokenizer.ggml.merges").value_or(std::vector<std::string>());
  const auto pre = m.get_string("tokenizer.ggml.pre");
  if (!pre)
    throw_bad_input(
        "{}: tokenizer.ggml.pre is missing, and how text is cut into words cannot be guessed; convert the model again, "
        "or, where it is known, add it: gguf-new-metadata --pre-tokenizer NAME IN.gguf OUT.gguf (pip install gguf)",
        m.where());
  v.pre = *pre;
  v.bos = gguf_token_id(m, "tokenizer.ggml.bos_token_id");
  v.eos = gguf_token_id(m, "tokenizer.ggml.eos_token_id");
  v.pad = gguf_token_id(m, "tokenizer.ggml.padding_token_id");
  v.unk = gguf_token_id(m, "tokenizer.ggml.unknown_token_id");
  v.add_bos = m.get_bool("tokenizer.ggml.add_bos_token").value_or(false);
  v.add_eos = m.get_bool("tokenizer.ggml.add_eos_token").value_or(false);
  v.added_tokens = m.get_string(kAddedTokens).value_or("");
  return v;
}

void vocabulary_to_gguf(const VocabularyData& v, GgufMetadata& m) {
  if (v.tokens.empty()) {
    m.set_string(kModel, "none");
    return;
  }
  m.set_string(kModel, "gpt2");
  m.set_string("tokenizer.ggml.pre", v.pre);
  m.set_strings("tokenizer.ggml.tokens", v.tokens);
  if (!v.token_types.empty()) m.set_i32s("tokenizer.ggml.token_type", v.token_types);
  m.set_strings("tokenizer.ggml.merges", v.merges);
  const auto set_id = [&](const char* key, const std::optional<int32_t>& id) {
    if (id) m.set_u32(key, static_cast<uint32_t>(*id));
  };
  set_id("tokenizer.ggml.bos_token_id", v.bos);
  set_id("tokenizer.ggml.eos_token_id", v.eos);
  set_id("tokenizer.ggml.padding_token_id", v.pad);
  set_id("tokenizer.ggml.unknown_token_id", v.unk);
  m.set_bool("tokenizer.ggml.add_bos_token", v.add_bos);
  m.set_bool("tokenizer.ggml.add_eos_token", v.add_eos);
  if (!v.added_tokens.empty()) m.set_string(kAddedTokens, v.added_tokens);
}

void chat_templates_to_gguf(const ChatTemplates& templates, GgufMetadata& m) {
  std::vector<std::string> names;
  for (const auto& [name, text] : templates) {
    if (name == "default") {
      m.set_string(kChatTemplate, text);
      continue;
    }
    m.set_string(fmt::format("{}.{}", kChatTemplate, name), text);
    names.push_back(name);
  }
  if (!names.empty()) m.set_strings("tokenizer.chat_templates", names);
}

bool has_tokenizer(const Model& model) {
  const GgufMetadata* metadata = gguf_metadata(model);
  if (metadata == nullptr) return is_file(folder_of(model.path) / "tokenizer.json");
  const auto kind = metadata->get_string(kModel);
  return kind && *kind != "none" && *kind != "no_vocab";
}

Tokenizer load_tokenizer(const Model& model) {
  const Zone zone("load tokenizer");
  const GgufMetadata* metadata = gguf_metadata(model);
  Tokenizer tokenizer = metadata != nullptr ? tokenizer_of_gguf(*metadata) : tokenizer_of_folder(folder_of(model.path));
  if (tokenizer.n_tokens() > model.config.vocab_size)
    throw_bad_input(
        "{}: the tokenizer has {} tokens, but vocab_size is {}; are these the tokenizer files of this model?",
        model.path.string(), tokenizer.n_tokens(), model.config.vocab_size);
  return tokenizer;
}

Tokenizer load_tokenizer(const fs::path& named) {
  std::error_code ignored;
  if (!fs::exists(named, ignored)) throw_bad_input("{}: there is no such file or folder", named.string());
  fs::path path = named;
  if (fs::is_directory(path, ignored) && !is_file(path / "tokenizer.json"))
    if (const auto inside = find_model_inside(path)) path = inside->path;
  if (!fs::is_directory(path, ignored) && looks_like_gguf(path))
    return tokenizer_of_gguf(GgufSource::open(path)->metadata());
  return tokenizer_of_folder(folder_of(path));
}

ChatTemplates load_chat_templates(const Model& model) {
  const GgufMetadata* metadata = gguf_metadata(model);
  if (metadata == nullptr) return find_chat_templates(folder_of(model.path));
  ChatTemplates found;
  const std::string named = fmt::format("{}.", kChatTemplate);
  for (const std::string& key : metadata->keys()) {
    if (key == kChatTemplate) found.emplace("default", *metadata->get_string(key));
    if (key.starts_with(named)) found.emplace(key.substr(named.size()), *metadata->get_string(key));
  }
  return found;
}

std::vector<int32_t> stop_ids(const ModelConfig& config, const Tokenizer* tokenizer) {
  std::vector<int32_t> ids;
  for (int64_t id : config.eos_token_ids) ids.push_back(static_cast<int32_t>(id));
  if (tokenizer != nullptr && tokenizer->eos()) ids.push_back(*tokenizer->eos());
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

int64_t usable_ids(const ModelConfig& config, const Tokenizer* tokenizer) {
  return tokenizer == nullptr ? config.vocab_size : std::min<int64_t>(config.vocab_size, tokenizer->n_tokens());
}

std::vector<int32_t> dry_breaker_ids(const Tokenizer* tokenizer, const std::vector<std::string>& texts) {
  if (texts == std::vector<std::string>{"none"}) return {};
  if (tokenizer == nullptr && !texts.empty())
    throw_bad_input("--dry-sequence-breaker: the model has no tokenizer, so that its tokens have no texts");
  const std::vector<std::string> breakers = texts.empty() ? std::vector<std::string>{"\n", ":", "\"", "*"} : texts;
  std::vector<int32_t> ids;
  for (int32_t id = 0; tokenizer != nullptr && id < tokenizer->n_tokens(); ++id) {
    const std::string_view bytes = tokenizer->token_bytes(id);
    if (std::any_of(breakers.begin(), breakers.end(),
                    [&](const std::string& text) { return bytes.find(text) != std::string_view::npos; }))
      ids.push_back(id);
  }
  return ids;
}

}  // namespace fathom
