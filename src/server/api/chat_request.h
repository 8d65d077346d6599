// A conversation to answer, as the chat APIs have it after their own reading: what is common from there on.
#pragma once
#include "server/api/message_answer.h"
#include "server/api/request_context.h"
#include "server/prompt.h"

namespace fathom::server {

struct ChatRequest {
  json::array messages = {};  // in OpenAI's form
  json::value tools = {};     // the same, or null
  ToolPlan plan = {};
  std::shared_ptr<const Grammar> grammar = {};
  std::optional<int64_t> max_tokens = {};  // nullopt: as many as the context holds
  ChatPromptOptions prompt = {};
};

ChatPrompt chat_prompt(const ServedModel& model, const ChatRequest& chat);

// spec with sampling and stops set already; the rest is set here, and the request begins.
void answer_chat(const RequestContext& context, const http::Request& request,
                 const std::shared_ptr<http::Exchange>& exchange, const ChatRequest& chat, GenerationSpec spec,
                 std::unique_ptr<AnswerWriter> writer);

}  // namespace fathom::server
