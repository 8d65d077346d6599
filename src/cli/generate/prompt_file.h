// The lines of `generate --prompts`: one JSON object each.
//
//     "prompt": text, or "ids": [token ids]          what is continued; one of the three
//     "messages": [...], and "tools": [...]          a conversation to answer (tokenizer/chat/chat_messages.h)
//     "max_tokens", "seed", "stop" (a text or several), and the sampling options: "temperature", "top_k", "top_p",
//     "min_p", "typical_p", "xtc_probability", "xtc_threshold", "repeat_penalty", "repeat_last_n", "presence_penalty",
//     "frequency_penalty", "dry_multiplier", "dry_base", "dry_allowed_length", "dry_penalty_last_n",
//     "logit_bias" ({"id": bias} as OpenAI has it, or [[id, bias], ...] as llama.cpp)
//                                                    instead of what the command line says
//     "id": anything                                 stands in the answer too
//
// Every line is read and checked before any is run.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json/json.h"
#include "engine/sampler.h"
#include "tokenizer/chat/chat_template.h"
#include "tokenizer/tokenizer.h"

namespace fathom {

struct PromptRequest {
  json::value id = {};  // null: none
  std::vector<int32_t> ids = {};
  int64_t max_tokens = 0;  // below 0: until the context is full
  SamplingOptions sampling = {};
  bool seed_given = false;  // by the line or the command line: it is no random one
  std::vector<std::string> stops = {};
  std::string gap = {};    // what the chat template puts in front of an answer; no part of its text
  std::string error = {};  // why the line cannot be asked; the rest but the id is then of no use
};

enum class BadPrompts : uint8_t {
  refuse,  // bad_input that names the first and counts the others
  report   // each has its error
};

struct PromptRules {
  PromptRequest defaults;  // the seed of line i is that of the command line + i
  const Tokenizer* tokenizer = nullptr;
  std::function<const ChatTemplate&(bool has_tools)> chat_template = {};  // asked for where a line has messages
  bool parse_special = false;
  BadPrompts bad = BadPrompts::refuse;
  int64_t context_tokens = 0, vocab_size = 0;
};

// Empty lines are passed over.
std::vector<PromptRequest> read_prompt_lines(std::string_view text, const std::string& where, const PromptRules& rules);

}  // namespace fathom
