#include "tokenizer/chat/chat_messages.h"

#include <algorithm>
#include <array>
#include <optional>

namespace fathom {
namespace {

constexpr std::array<std::string_view, 5> kRoles = {"system", "developer", "user", "assistant", "tool"};
// Keys of a request that do not change its answer.
constexpr std::array<std::string_view, 7> kHarmless = {"model", "id", "user", "metadata", "stream", "store", "object"};

template <size_t n>
bool is_one_of(const std::array<std::string_view, n>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

std::string_view text_of(const json::value& value) { return value.get_string(); }

const json::value* find(const json::object& object, std::string_view key) {
  const json::value* found = object.if_contains(key);
  return found != nullptr && !found->is_null() ? found : nullptr;
}

// One message, with its place in words for what is wrong with it.
class MessageReader {
 public:
  MessageReader(const json::value& value, size_t index, const std::string& where)
      : value_(value), place_(fmt::format("{}: messages[{}]", where, index)) {}

  ChatMessage read() {
    const json::object* object = value_.if_object();
    if (object == nullptr)
      throw_bad_input("{} is {}; a message is an object with role and content", place_, json_kind_name(value_));
    read_role(*object);
    read_calls(*object);
    read_content(*object);
    for (const auto& [key, value] : *object)
      if (key != "role" && key != "content") message_.more[key] = value;
    return std::move(message_);
  }

 private:
  void read_role(const json::object& object) {
    const json::value* role = find(object, "role");
    if (role == nullptr || !role->is_string())
      throw_bad_input("{} has no role; it is one of {}", place_, fmt::join(kRoles, ", "));
    message_.role = text_of(*role);
    if (!is_one_of(kRoles, message_.role))
      throw_bad_input("{} has the role {}; it must be one of {}", place_, quoted_for_message(message_.role, 40),
                      fmt::join(kRoles, ", "));
    place_ += fmt::format(" (role {})", message_.role);
  }

  void read_calls(const json::object& object) const {
    const json::value* calls = find(object, "tool_calls");
    if (calls == nullptr) return;
    if (message_.role != "assistant") throw_bad_input("{} has tool_calls; only an assistant calls tools", place_);
    const json::array* list = calls->if_array();
    if (list == nullptr) throw_bad_input("{}: tool_calls is {}; a list is needed", place_, json_kind_name(*calls));
    for (size_t i = 0; i < list->size(); ++i) {
      const json::object* call = (*list)[i].if_object();
      const json::value* function = call ? find(*call, "function") : nullptr;
      const json::object* named = function ? function->if_object() : call;
      const json::value* name = named ? find(*named, "name") : nullptr;
      const json::value* arguments = named ? find(*named, "arguments") : nullptr;
      if (name == nullptr || !name->is_string())
        throw_bad_input("{}: tool_calls[{}] has no function with a name", place_, i);
      if (arguments != nullptr && !arguments->is_string() && !arguments->is_object())
        throw_bad_input("{}: the arguments of tool_calls[{}] are {}; an object, or one written as a string, is needed",
                        place_, i, json_kind_name(*arguments));
    }
  }

  void read_content(const json::object& object) {
    const json::value* content = find(object, "content");
    if (content == nullptr) {
      const json::value* calls = find(object, "tool_calls");
      if (calls == nullptr || calls->get_array().empty()) throw_bad_input("{} has no content", place_);
      message_.has_content = false;
    } else if (content->is_string()) {
      message_.content = text_of(*content);
    } else if (const json::array* parts = content->if_array()) {
      for (size_t i = 0; i < parts->size(); ++i) {
        if (i > 0) message_.content += '\n';
        message_.content += part_text((*parts)[i], i);
      }
    } else {
      throw_bad_input("{}: content is {}; a string, or a list of texts, is needed", place_, json_kind_name(*content));
    }
  }

  std::string part_text(const json::value& part, size_t i) const {
    const json::object* object = part.if_object();
    const json::value* type = object ? find(*object, "type") : nullptr;
    if (type == nullptr || !type->is_string()) throw_bad_input("{}: content[{}] is no object with a type", place_, i);
    if (type->get_string() != "text")
      throw_unsupported("{}: content[{}] is of type {}; fathom's models read text only", place_, i,
                        quoted_for_message(text_of(*type), 40));
    const json::value* text = find(*object, "text");
    if (text == nullptr || !text->is_string()) throw_bad_input("{}: content[{}] has no text", place_, i);
    return std::string(text_of(*text));
  }

  const json::value& value_;
  std::string place_;
  ChatMessage message_;
};

json::array checked_tools(const json::value& value, const std::string& where) {
  const json::array* tools = value.if_array();
  if (tools == nullptr) throw_bad_input("{}: tools is {}; a list is needed", where, json_kind_name(value));
  for (size_t i = 0; i < tools->size(); ++i) {
    const json::object* tool = (*tools)[i].if_object();
    const json::value* function = tool ? find(*tool, "function") : nullptr;
    const json::object* named = function ? function->if_object() : tool;
    const json::value* name = named ? find(*named, "name") : nullptr;
    if (name == nullptr || !name->is_string()) throw_bad_input("{}: tools[{}] has no function with a name", where, i);
  }
  return *tools;
}

std::vector<ChatMessage> checked_messages(const json::value& value, const std::string& where) {
  const json::array* list = value.if_array();
  if (list == nullptr) throw_bad_input("{}: messages is {}; a list is needed", where, json_kind_name(value));
  std::vector<ChatMessage> out;
  for (size_t i = 0; i < list->size(); ++i) out.push_back(MessageReader((*list)[i], i, where).read());
  return out;
}

std::optional<std::string> rendered(const ChatTemplate& chat, std::span<const ChatMessage> messages) {
  try {
    return chat.render(messages, true);
  } catch (const Error&) {
    return std::nullopt;
  }
}

// --- the arguments of calls

json::value* arguments_of(json::value& call) {
  json::object& object = call.get_object();
  json::value* function = object.if_contains("function");
  json::object& named = function && function->is_object() ? function->get_object() : object;
  return named.if_contains("arguments");
}

// Does the template write a call whose arguments are of this form, as JSON or in a form of its own? A text that is
// written as JSON once more, and an object as Python prints it, show that it was made for the other form.
bool can_write_arguments(const ChatTemplate& chat, const json::value& arguments) {
  const json::object call = {
      {"id", "call00001"}, {"type", "function"}, {"function", {{"name", "f"}, {"arguments", arguments}}}};
  const std::vector<ChatMessage> messages = {{"user", "q"},
                                             {"assistant", "", false, {{"tool_calls", json::array{call}}}}};
  const auto text = rendered(chat, messages);
  return text && text->find("probed_key") != std::string::npos && text->find("'probed_key'") == std::string::npos &&
         text->find("\\\"probed_key") == std::string::npos;
}

void fit_arguments(const ChatTemplate& chat, std::vector<ChatMessage>& messages) {
  const bool takes_text = can_write_arguments(chat, R"({"probed_key": 1})");
  const bool takes_object = can_write_arguments(chat, json::object{{"probed_key", 1}});
  if (takes_text == takes_object) return;
  for (ChatMessage& message : messages) {
    json::value* calls = message.more.if_contains("tool_calls");
    if (calls == nullptr || !calls->is_array()) continue;
    for (json::value& call : calls->get_array()) {
      json::value* arguments = arguments_of(call);
      if (arguments == nullptr) continue;
      if (takes_text && arguments->is_object()) {
        *arguments = jinja::to_json(untrusted_value(*arguments), {}).bytes;  // as json.dumps has it, with blanks
      } else if (takes_object && arguments->is_string()) {
        *arguments = parse_json(text_of(*arguments), "the arguments of a tool call");
      }
    }
  }
}

// A template that cannot write None, or writes it as the word, gets an empty text.
void fit_missing_contents(const ChatTemplate& chat, std::vector<ChatMessage>& messages) {
  const auto lacks = [](const ChatMessage& m) { return !m.has_content; };
  if (std::none_of(messages.begin(), messages.end(), lacks)) return;
  std::vector<ChatMessage> with_empty = messages;
  for (ChatMessage& m : with_empty) m.has_content = true;
  const auto none = rendered(chat, messages), empty = rendered(chat, with_empty);
  if (empty && (!none || jinja::count_occurrences(*none, "None") > jinja::count_occurrences(*empty, "None")))
    messages = std::move(with_empty);
}

// --- what a template leaves out

void check_calls_are_told(const ChatTemplate& chat, const Conversation& c, const std::string& where) {
  const std::optional<std::string> whole = rendered(chat, c.messages);
  for (size_t i = 0; i < c.messages.size(); ++i) {
    const bool has_calls = find(c.messages[i].more, "tool_calls") != nullptr;
    if (c.messages[i].role != "tool" && !has_calls) continue;
    std::vector<ChatMessage> less = c.messages;
    if (has_calls)
      less[i].more.erase("tool_calls");
    else
      less.erase(less.begin() + static_cast<ptrdiff_t>(i));
    if (whole && rendered(chat, less) == whole)
      throw_bad_input("{}: messages[{}] (role {}): the chat template of this model leaves {} out; it knows no tools",
                      where, i, c.messages[i].role, has_calls ? "tool_calls" : "the message");
  }
}

}  // namespace

Conversation parse_conversation(std::string_view text, const std::string& where) {
  return conversation_from_json(parse_json(text, where), where);
}

Conversation conversation_from_json(const json::value& root, const std::string& where) {
  if (root.is_array()) return {checked_messages(root, where), {}};
  const json::object* object = root.if_object();
  if (object == nullptr)
    throw_bad_input("{}: found {}; needed a list of messages, or an object with messages", where, json_kind_name(root));
  Conversation out;
  if (find(*object, "messages") == nullptr) throw_bad_input("{}: there is no list of messages", where);
  for (const auto& [key, value] : *object) {
    if (value.is_null() || is_one_of(kHarmless, std::string_view(key))) continue;
    if (key == "messages")
      out.messages = checked_messages(value, where);
    else if (key == "tools")
      out.tools = checked_tools(value, where);
    else
      throw_unsupported("{}: messages and tools are read from a file, not {}; sampling is set by options of fathom",
                        where, quoted_for_message(std::string_view(key), 40));
  }
  return out;
}

std::string to_json(const Conversation& conversation) {
  json::array messages;
  for (const ChatMessage& m : conversation.messages) {
    json::object message = {{"role", m.role}, {"content", m.has_content ? json::value(m.content) : json::value()}};
    for (const auto& [key, value] : m.more) message[key] = value;
    messages.push_back(std::move(message));
  }
  json::object out = {{"messages", std::move(messages)}};
  if (!conversation.tools.empty()) out["tools"] = conversation.tools;
  return to_pretty_json(out);
}

void check_waits_for_answer(const Conversation& conversation, const std::string& where) {
  const auto& messages = conversation.messages;
  if (messages.empty()) throw_bad_input("{}: there is no message to answer", where);
  const std::string& last = messages.back().role;
  if (last != "user" && last != "tool")
    throw_bad_input(
        "{}: messages[{}] (role {}) is the last; an answer is written to a message of the role user or tool", where,
        messages.size() - 1, last);
}

Conversation fitted_to(const ChatTemplate& chat, Conversation conversation, const std::string& where) {
  const ChatTemplate with_tools = chat.with_tools(conversation.tools);
  const bool has_calls = std::any_of(conversation.messages.begin(), conversation.messages.end(),
                                     [](const ChatMessage& m) { return find(m.more, "tool_calls") != nullptr; });
  if (has_calls) fit_arguments(with_tools, conversation.messages);
  fit_missing_contents(with_tools, conversation.messages);
  if (!conversation.tools.empty()) {
    const auto told = rendered(with_tools, conversation.messages);
    if (told && told == rendered(chat.with_tools({}), conversation.messages))
      throw_bad_input("{}: the chat template of this model leaves the tools out; it knows none", where);
  }
  check_calls_are_told(with_tools, conversation, where);
  return conversation;
}

}  // namespace fathom
