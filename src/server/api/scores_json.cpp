#include "server/api/scores_json.h"

#include "base/text/utf8.h"

namespace fathom::server {
namespace {

json::array bytes_of(std::string_view bytes) {
  json::array out;
  for (const char c : bytes) out.push_back(static_cast<unsigned char>(c));
  return out;
}

json::object entry(const Tokenizer& tokenizer, int32_t id, double logprob) {
  return {{"token", token_name(tokenizer, id)}, {"logprob", logprob}, {"bytes", bytes_of(tokenizer.token_bytes(id))}};
}

}  // namespace

std::string token_name(const Tokenizer& tokenizer, int32_t id) {
  const std::string_view bytes = tokenizer.token_bytes(id);
  if (find_invalid_utf8(bytes) == std::string_view::npos) return std::string(bytes);
  std::string name = "bytes:";
  for (const char c : bytes) name += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
  return name;
}

json::object chat_score(const Tokenizer& tokenizer, const TokenScore& score) {
  json::object out = entry(tokenizer, score.id, score.logprob);
  json::array top;
  for (const auto& [id, logprob] : score.top) top.push_back(entry(tokenizer, id, logprob));
  out["top_logprobs"] = std::move(top);
  return out;
}

// A token that goes on with a character has the offset of that one, so that a context of whole characters holds it.
void CompletionScores::add_token(int32_t id) {
  const std::string_view bytes = tokenizer_->token_bytes(id);
  const bool goes_on = !bytes.empty() && characters_begun(bytes.substr(0, 1)) == 0;
  tokens_.push_back(json::string(token_name(*tokenizer_, id)));
  offsets_.push_back(goes_on && offset_ > 0 ? offset_ - 1 : offset_);
  offset_ += characters_begun(bytes);
}

void CompletionScores::add_unscored(int32_t id, bool in_text) {
  const int64_t begin = offset_;
  add_token(id);
  if (!in_text) offset_ = begin;
  logprobs_.push_back(nullptr);
  top_.push_back(nullptr);
}

// The token itself is always in the dictionary, with the number that stands in token_logprobs: who asks whether it was
// the most likely one compares the two. Of two ids of one spelling the likelier one is told, and always the token.
void CompletionScores::add(const TokenScore& score) {
  add_token(score.id);
  logprobs_.push_back(score.logprob);
  json::object top;
  for (const auto& [id, logprob] : score.top) top.emplace(token_name(*tokenizer_, id), logprob);
  top[token_name(*tokenizer_, score.id)] = score.logprob;
  top_.push_back(std::move(top));
}

json::object CompletionScores::take() {
  json::object out{{"tokens", std::move(tokens_)},
                   {"token_logprobs", std::move(logprobs_)},
                   {"top_logprobs", std::move(top_)},
                   {"text_offset", std::move(offsets_)}};
  tokens_ = logprobs_ = top_ = offsets_ = {};
  return out;
}

}  // namespace fathom::server
