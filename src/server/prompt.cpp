#include "server/prompt.h"

#include "server/api/api_error.h"

namespace fathom::server {
namespace {

constexpr size_t kMostPrompts = 2048;
constexpr size_t kMostMessages = 4096;

int32_t token_id(const ServedModel& model, const json::value& v) {
  const int64_t* id = v.if_int64();
  if (id == nullptr || *id < 0 || *id >= model.config().vocab_size)
    refuse("prompt", "prompt holds {}; the model has ids 0 to {}", json::serialize(v).substr(0, 40),
           model.config().vocab_size - 1);
  return static_cast<int32_t>(*id);
}

std::vector<int32_t> ids_of(const ServedModel& model, const json::array& a) {
  std::vector<int32_t> ids;
  ids.reserve(a.size());
  for (const json::value& v : a) ids.push_back(token_id(model, v));
  if (ids.empty()) refuse("prompt", "the prompt is empty; it needs at least one token");
  return ids;
}

std::vector<int32_t> ids_of(const ServedModel& model, const json::string& text) {
  std::vector<int32_t> ids = model.tokenizer().encode({text.data(), text.size()}, {.add_special = true});
  if (ids.empty()) refuse("prompt", "the prompt is empty; it needs at least one token");
  return ids;
}

// The markers of DeepSeek-Coder-V2: prefix, hole, suffix.
constexpr std::string_view kFillInBegin = "<｜fim▁begin｜>", kFillInHole = "<｜fim▁hole｜>",
                           kFillInEnd = "<｜fim▁end｜>";

Conversation conversation_of(const json::array& messages, const json::value* tools) {
  if (messages.size() > kMostMessages)
    refuse("messages", "messages has {} entries; at most {} are taken", messages.size(), kMostMessages);
  json::object request{{"messages", messages}};
  if (tools != nullptr) request["tools"] = *tools;
  Conversation c = conversation_from_json(request, "the request");
  if (c.messages.empty()) refuse("messages", "messages is empty; there is nothing to answer");
  return c;
}

ChatPrompt render(const ServedModel& model, const Conversation& given, const ChatPromptOptions& o) {
  const ChatTemplate& chat = model.chat(!given.tools.empty());
  const Conversation c = fitted_to(chat, given, "the request");
  const ChatTemplate with_tools = chat.with_tools(c.tools);
  ChatPrompt prompt;
  std::vector<TextPiece> pieces =
      with_tools.render_pieces(c.messages, o.add_generation_prompt && !o.continue_final_message);
  if (o.continue_final_message) {  // up to the end of the last message's text
    const std::string& last = c.messages.back().content;
    while (!pieces.empty() && pieces.back().trusted) pieces.pop_back();
    if (pieces.empty() || !pieces.back().text.ends_with(last))
      refuse("continue_final_message", "the chat template changes the last message, so it cannot be continued");
  } else if (o.add_generation_prompt) {
    prompt.gap = answer_gap(with_tools, c.messages);
  }
  prompt.ids = encode_pieces(model.tokenizer(), pieces);
  for (const TextPiece& piece : pieces) prompt.text += piece.text;
  if (prompt.ids.empty()) refuse("messages", "the chat template makes no text of these messages");
  return prompt;
}

ChatPrompt render_messages(const ServedModel& model, const json::array& messages, const json::value* tools,
                           const ChatPromptOptions& options) {
  try {
    Conversation c = conversation_of(messages, tools);
    ChatPromptOptions o = options;
    const std::string& last = c.messages.back().role;
    if (o.continue_final_message && last != "assistant")
      refuse("continue_final_message", "the last message has the role {}; only an assistant's can be continued", last);
    if (last == "assistant" && o.add_generation_prompt) o.continue_final_message = true;  // prefill
    if (last == "system" || last == "developer")
      refuse("messages", "the last message has the role {}; an answer is written to a user, a tool or a begun answer",
             last);
    return render(model, c, o);
  } catch (const Error& e) {
    throw ApiError({.status = 400, .message = e.what(), .param = "messages"});
  }
}

}  // namespace

ChatPromptOptions prompt_options(const Parameters& p) {
  return {.add_generation_prompt = p.boolean("add_generation_prompt").value_or(true),
          .continue_final_message = p.boolean("continue_final_message").value_or(false)};
}

ChatPrompt chat_prompt(const ServedModel& model, const json::array& messages, const json::value* tools,
                       const ToolPlan& plan, const ChatPromptOptions& options) {
  if (model.knows_tools())
    return render_messages(model, messages, plan.choice == ToolChoice::none ? nullptr : tools, options);
  json::array plain = without_tool_roles(messages);
  if (!plan.wants_calls()) return render_messages(model, plain, nullptr, options);
  const std::string text = tools_as_text(plan);
  json::object* first = plain.empty() ? nullptr : plain[0].if_object();
  json::value* role = first != nullptr ? first->if_contains("role") : nullptr;
  json::value* content = first != nullptr ? first->if_contains("content") : nullptr;
  if (role != nullptr && *role == "system" && content != nullptr && content->is_string())
    *content = std::string(content->get_string()) + "\n\n" + text;
  else
    plain.insert(plain.begin(), json::object{{"role", "system"}, {"content", text}});
  return render_messages(model, plain, nullptr, options);
}

std::vector<std::vector<int32_t>> completion_prompts(const ServedModel& model, const json::value& prompt) {
  if (const json::string* text = prompt.if_string()) return {ids_of(model, *text)};
  const json::array* list = prompt.if_array();
  if (list == nullptr)
    refuse("prompt", "prompt is {}; needed is a text, token ids, or an array of either", json_kind_name(prompt));
  if (list->empty()) refuse("prompt", "prompt is an empty array");
  if ((*list)[0].is_number()) return {ids_of(model, *list)};
  if (list->size() > kMostPrompts)
    refuse("prompt", "prompt has {} entries; at most {} are taken", list->size(), kMostPrompts);
  std::vector<std::vector<int32_t>> prompts;
  for (const json::value& entry : *list) {
    if (const json::string* text = entry.if_string())
      prompts.push_back(ids_of(model, *text));
    else if (const json::array* ids = entry.if_array())
      prompts.push_back(ids_of(model, *ids));
    else
      refuse("prompt", "prompt[{}] is {}; needed is a text or token ids", prompts.size(), json_kind_name(entry));
  }
  return prompts;
}

bool can_fill_in(const ServedModel& model) {
  return model.token(kFillInBegin) && model.token(kFillInHole) && model.token(kFillInEnd);
}

std::vector<int32_t> fill_in_prompt(const ServedModel& model, std::string_view prompt, std::string_view suffix) {
  if (!can_fill_in(model))
    refuse("suffix", "this model's vocabulary has no markers for filling in the middle, so it takes no suffix");
  const Tokenizer& t = model.tokenizer();
  std::vector<int32_t> ids;
  if (t.adds_bos() && t.bos()) ids.push_back(*t.bos());
  const auto append = [&](std::string_view text) {
    const std::vector<int32_t> more = t.encode(text, {.add_special = false});
    ids.insert(ids.end(), more.begin(), more.end());
  };
  ids.push_back(*model.token(kFillInBegin));
  append(prompt);
  ids.push_back(*model.token(kFillInHole));
  append(suffix);
  ids.push_back(*model.token(kFillInEnd));
  return ids;
}

}  // namespace fathom::server
