#include "server/served_model.h"

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "base/xxh64.h"
#include "load/chat_template_choice.h"
#include "load/text.h"
#include "model/footprint.h"

namespace fathom::server {
namespace {

ServedModelOptions completed(const Model& model, ServedModelOptions o) {
  EngineOptions& engine = o.engine.engine.engine;
  engine.context_tokens = context_tokens(model.config, engine);
  return o;
}

// Of the cache, for a token.
double token_bytes(const Model& model, const EngineOptions& o) {
  const CacheType type =
      o.cache_type.value_or(model.config.uses_mla() && o.numerics.is_quantised() ? CacheType::q16 : CacheType::f32);
  return static_cast<double>(cache_layout(model.config, type).bytes_per_token());
}

int64_t file_time(const std::filesystem::path& path) {
  std::error_code error;
  const auto time = std::filesystem::last_write_time(path, error);
  if (error) return 0;
  const auto since = std::chrono::file_clock::to_sys(time).time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(since).count();
}

// Its text differs when there are tools.
bool tells_of_tools(const ChatTemplate& chat) {
  const std::vector<ChatMessage> messages = {{"user", "q"}};
  const json::object function{{"name", "probe"}, {"description", "probe"}, {"parameters", {{"type", "object"}}}};
  try {
    return chat.with_tools({json::object{{"type", "function"}, {"function", function}}}).render(messages, true) !=
           chat.render(messages, true);
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

int64_t default_cache_tokens(const Model& model, const EngineThreadOptions& o, double bytes_left) {
  const int64_t context = context_tokens(model.config, o.engine.engine);
  const auto fits = static_cast<int64_t>(std::max(0.0, bytes_left) / 2 / token_bytes(model, o.engine.engine));
  return std::clamp(fits, context, context * std::max<int64_t>(1, o.scheduler.max_running));
}

double stored_bytes(const Model& model) {
  double bytes = 0;
  for (const TensorInfo& tensor : model.source->tensors()) bytes += static_cast<double>(tensor.bytes.size());
  return bytes;
}

double ServedModel::loaded_bytes() const {
  return stored_bytes(model_) +
         static_cast<double>(cache_tokens()) * token_bytes(model_, options_.engine.engine.engine);
}

ServedModel::ServedModel(Model model, ServedModelOptions options)
    : options_(completed(model, std::move(options))),
      model_(std::move(model)),
      tokenizer_(load_tokenizer(model_)),
      chat_(choose_chat_template(model_, tokenizer_, {options_.chat_template, false, &notice_})),
      chat_with_tools_(choose_chat_template(model_, tokenizer_, {options_.chat_template, true})),
      stop_ids_(fathom::stop_ids(model_.config, &tokenizer_)),
      usable_ids_(fathom::usable_ids(model_.config, &tokenizer_)),
      context_tokens_(options_.engine.engine.engine.context_tokens),
      created_(file_time(model_.path)),
      fingerprint_("fp_" + hash_text(xxh64(fmt::format("{} {} {}", model_.path.string(), created_, usable_ids_)))),
      engine_(model_, options_.engine) {
  options_.sampling.dry_breakers = dry_breaker_ids(&tokenizer_, options_.dry_breakers);
  knows_tools_ = tells_of_tools(chat_with_tools_);
  const ChatTemplates own = load_chat_templates(model_);
  if (const auto found = own.find("default"); found != own.end()) chat_source_ = found->second;
}

std::shared_ptr<const TokenTrie> ServedModel::vocabulary() {
  std::call_once(vocabulary_once_, [this] {
    std::vector<std::string> bytes(static_cast<size_t>(usable_ids_));
    for (int32_t id = 0; id < usable_ids_; ++id)
      if (!tokenizer_.is_special(id)) bytes[static_cast<size_t>(id)] = tokenizer_.token_bytes(id);
    vocabulary_ = std::make_shared<TokenTrie>(bytes, stop_ids_);
  });
  return vocabulary_;
}

}  // namespace fathom::server
