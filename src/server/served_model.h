// A model that is served: its file, its text side, and the thread that it runs on.
#pragma once
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "load/load.h"
#include "server/engine_thread.h"
#include "tokenizer/chat/chat_template.h"
#include "tokenizer/tokenizer.h"

namespace fathom::server {

struct ServedModelOptions {
  std::string name;                            // what clients call it
  std::string chat_template;                   // as of choose_chat_template
  SamplingOptions sampling = {};               // where a request says nothing
  std::vector<std::string> dry_breakers = {};  // their texts (dry_breaker_ids); a request may turn DRY on
  EngineThreadOptions engine = {};
};

// Everything but the engine is immutable: any thread may use it.
class ServedModel {
 public:
  // Opens the files and checks them; the engine loads when it is wanted. engine.engine.engine.cache_tokens is set.
  // Errors as of load_model and load_tokenizer.
  ServedModel(Model model, ServedModelOptions options);

  const std::string& name() const noexcept { return options_.name; }
  const Model& model() const noexcept { return model_; }
  const ModelConfig& config() const noexcept { return model_.config; }
  const Tokenizer& tokenizer() const noexcept { return tokenizer_; }
  const SamplingOptions& sampling() const noexcept { return options_.sampling; }
  const ChatTemplate& chat(bool has_tools) const noexcept { return has_tools ? chat_with_tools_ : chat_; }
  bool knows_tools() const noexcept { return knows_tools_; }                // the template tells of them
  const std::string& chat_source() const noexcept { return chat_source_; }  // of the template; empty: the built-in one
  const std::vector<int32_t>& stop_ids() const noexcept { return stop_ids_; }
  int64_t usable_ids() const noexcept { return usable_ids_; }
  int64_t context_tokens() const noexcept { return context_tokens_; }
  int64_t cache_tokens() const noexcept { return options_.engine.engine.engine.cache_tokens; }
  int64_t created() const noexcept { return created_; }  // seconds since 1970, of its file
  const std::string& fingerprint() const noexcept { return fingerprint_; }
  std::optional<int32_t> token(std::string_view spelling) const { return tokenizer_.id_of(spelling); }
  const std::string& notice() const noexcept { return notice_; }

  // What constrained requests choose from; made when the first one comes.
  std::shared_ptr<const TokenTrie> vocabulary();

  EngineThread& engine() noexcept { return engine_; }
  const EngineThread& engine() const noexcept { return engine_; }
  double loaded_bytes() const;  // that it takes in memory when it is loaded: weights, and the cache when it is full
  EngineSnapshot engine_snapshot() const { return engine_.snapshot(); }

 private:
  ServedModelOptions options_;
  Model model_;
  Tokenizer tokenizer_;
  std::string notice_;
  ChatTemplate chat_, chat_with_tools_;
  std::string chat_source_;
  std::vector<int32_t> stop_ids_;
  int64_t usable_ids_ = 0, context_tokens_ = 0, created_ = 0;
  std::string fingerprint_;
  bool knows_tools_ = false;
  std::once_flag vocabulary_once_;
  std::shared_ptr<const TokenTrie> vocabulary_;
  EngineThread engine_;
};

// Tokens that the cache should have room for: contexts for max_running sequences, as far as half of the memory that is
// left beside the weights goes, and at least one context.
int64_t default_cache_tokens(const Model& model, const EngineThreadOptions& options, double bytes_left);

// Of all tensors, as they are stored.
double stored_bytes(const Model& model);

}  // namespace fathom::server
