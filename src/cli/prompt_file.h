// The lines of `generate --prompts`: one JSON object each.
//
//     "prompt": text, or "ids": [token ids]          what is continued; one of them
//     "max_tokens", "temperature", "top_k", "top_p", "min_p", "repeat_penalty", "seed", "stop" (a text or several)
//                                                    instead of what the command line says
//     "id": anything                                 stands in the answer too
//
// Every line is read and checked before any is run.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"
#include "engine/sampler.h"
#include "tokenizer/tokenizer.h"

namespace fathom {

struct PromptRequest {
  json::value id;  // null: none
  std::vector<int32_t> ids;
  int64_t max_tokens = 0;  // below 0: until the context is full
  SamplingOptions sampling;
  bool seed_given = false;  // by the line or the command line: it is no random one
  std::vector<std::string> stops;
};

struct PromptRules {
  PromptRequest defaults;  // the seed of line i is that of the command line + i
  const Tokenizer* tokenizer = nullptr;
  bool parse_special = false;
  int64_t context_tokens = 0, vocab_size = 0;
};

// Empty lines are passed over. bad_input that names the first bad line and counts the others.
std::vector<PromptRequest> read_prompt_lines(std::string_view text, const std::string& where, const PromptRules& rules);

}  // namespace fathom
