// From what a request says to the token ids that are run.
#pragma once
#include <string>
#include <vector>

#include "server/api/tools.h"
#include "server/served_model.h"
#include "tokenizer/chat/chat_messages.h"

namespace fathom::server {

struct ChatPrompt {
  std::vector<int32_t> ids;
  std::string gap;   // what the template puts in front of an answer (answer_gap)
  std::string text;  // as rendered
};

struct ChatPromptOptions {
  bool add_generation_prompt = true;
  bool continue_final_message = false;  // the last message is an assistant's, which the answer goes on with
};

// add_generation_prompt and continue_final_message of a request.
ChatPromptOptions prompt_options(const Parameters& parameters);

// Tools that may be called are told of by the template, or where it does not know how, by the system message. ApiError,
// param "messages", for what the template does not take.
ChatPrompt chat_prompt(const ServedModel& model, const json::array& messages, const json::value* tools,
                       const ToolPlan& plan, const ChatPromptOptions& options);

// `prompt` of /v1/completions: a text, ids, or an array of either.
std::vector<std::vector<int32_t>> completion_prompts(const ServedModel& model, const json::value& prompt);

// Whether the vocabulary has markers for filling in the middle.
bool can_fill_in(const ServedModel& model);

// Prompt and suffix with the markers for fill in the middle of the model's vocabulary. ApiError, param "suffix", when
// it has none.
std::vector<int32_t> fill_in_prompt(const ServedModel& model, std::string_view prompt, std::string_view suffix);

}  // namespace fathom::server
