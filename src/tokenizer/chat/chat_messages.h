// Conversations as JSON: {"messages": [...], "tools": [...]}, the form of OpenAI's chat requests that most programs
// write, or the array of messages alone.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "tokenizer/chat/chat_template.h"

namespace fathom {

struct Conversation {
  std::vector<ChatMessage> messages;
  json::array tools;
};

// Roles are system, developer, user, assistant and tool. content is a string, a list of {"type": "text", "text": ...}
// (joined by line ends), or null where an assistant's tool_calls stand beside it. Other keys of a message are kept for
// the template. bad_input names the message by its index, from 0, and role; unsupported for parts that are no text and
// for keys of a request that would change the answer (they are options of fathom).
Conversation parse_conversation(std::string_view text, const std::string& where);
Conversation conversation_from_json(const json::value& root, const std::string& where);
std::string to_json(const Conversation& conversation);

// bad_input when the last message is no user's and no result of a tool, so that there is nothing to answer.
void check_waits_for_answer(const Conversation& conversation, const std::string& where);

// What the template would see of the conversation. Arguments of calls become an object or a text, whichever it can
// write: programs write both. A message, calls or tools that it leaves out are a bad_input Error that names them, as
// the model would answer another conversation than the one that was given.
Conversation fitted_to(const ChatTemplate& chat, Conversation conversation, const std::string& where);

}  // namespace fathom
