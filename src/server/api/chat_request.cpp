#include "server/api/chat_request.h"

namespace fathom::server {

ChatPrompt chat_prompt(const ServedModel& model, const ChatRequest& chat) {
  return chat_prompt(model, chat.messages, chat.tools.is_null() ? nullptr : &chat.tools, chat.plan, chat.prompt);
}

void answer_chat(const RequestContext& c, const http::Request& request, const std::shared_ptr<http::Exchange>& exchange,
                 const ChatRequest& chat, GenerationSpec spec, std::unique_ptr<AnswerWriter> writer) {
  const ChatPrompt prompt = chat_prompt(c.model, chat);
  spec.prompts = {prompt.ids};
  spec.grammar = constraint_or_call(chat.grammar, chat.plan);
  spec.gap = spec.grammar ? std::string() : prompt.gap;
  spec.request.generate.max_tokens = chat.max_tokens.value_or(c.model.context_tokens());
  start_generation({c.model, c.metrics, request.key_name, c.salt_secret}, exchange, std::move(spec), std::move(writer));
}

}  // namespace fathom::server
