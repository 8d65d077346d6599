// One answer, token by token, as text: whole characters, nothing of a stop string nor after it. The scores of tokens
// are given out with the text that they belong to.
#pragma once
#include <string>
#include <vector>

#include "engine/scheduler/request.h"
#include "tokenizer/stop_strings.h"
#include "tokenizer/tokenizer.h"

namespace fathom::server {

struct TextDelta {
  std::string text;
  std::vector<TokenScore> tokens;  // that this text ends; an answer's last one has those that ended no text as well
  bool empty() const noexcept { return text.empty() && tokens.empty(); }
};

class ChoiceText {
 public:
  // gap: what the chat template puts in front of an answer, which is no part of it.
  ChoiceText(const Tokenizer& tokenizer, std::vector<std::string> stops, std::string gap = {});

  TextDelta push(const TokenScore& token);
  // What was held back and is no stop string. Call it once, at the end.
  TextDelta finish();
  bool stopped() const noexcept { return stops_.stopped(); }  // a stop string has come
  const std::string& stop() const noexcept { return stops_.found(); }
  int64_t n_tokens() const noexcept { return n_tokens_; }

 private:
  TextDelta release(std::string text, bool all);

  StreamDecoder decoder_;
  StopStrings stops_;
  std::string gap_, held_;  // held_: the begin of an answer that may still be the gap
  bool before_gap_;
  int64_t n_tokens_ = 0;
  size_t n_decoded_ = 0, n_released_ = 0;               // bytes of text, the gap included
  std::vector<std::pair<size_t, TokenScore>> waiting_;  // with the text up to their ends
};

}  // namespace fathom::server
