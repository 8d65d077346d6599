// Log-probabilities in the two forms of OpenAI's API.
#pragma once
#include <string>
#include <vector>

#include "base/json/json.h"
#include "engine/scheduler/request.h"
#include "tokenizer/tokenizer.h"

namespace fathom::server {

// How a token is spelled where only text can stand: its bytes where they are UTF-8, else "bytes:\xNN\xNN", so that two
// tokens never have one spelling that is not a text of both.
std::string token_name(const Tokenizer& tokenizer, int32_t id);

// Chat: {"content": [{"token", "logprob", "bytes", "top_logprobs": [...]}]}.
json::object chat_score(const Tokenizer& tokenizer, const TokenScore& score);

// Completions: {"tokens", "token_logprobs", "top_logprobs", "text_offset"}, offsets in code points.
class CompletionScores {
 public:
  explicit CompletionScores(const Tokenizer& tokenizer, int64_t first_offset = 0)
      : tokenizer_(&tokenizer), offset_(first_offset) {}
  // A prompt's first token has no score: null in JSON. in_text is false where the text begins after it.
  void add_unscored(int32_t id, bool in_text);
  void add(const TokenScore& score);
  // What was added since the last call, as an object.
  json::object take();
  bool empty() const noexcept { return tokens_.empty(); }

 private:
  void add_token(int32_t id);
  const Tokenizer* tokenizer_;
  int64_t offset_;  // code points before the next token
  json::array tokens_, logprobs_, top_, offsets_;
};

}  // namespace fathom::server
