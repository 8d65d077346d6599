#include "tokenizer/chat/chat_template.h"

#include "tokenizer/tokenizer.h"
#include "tokenizer/tokenizer_parts.h"

namespace fathom {

using jinja::Origin;
using jinja::Text;
using jinja::Value;

namespace {

constexpr std::string_view kDeepseekV2 =
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{% if message.role == 'system' %}{{ message.content ~ '\\n\\n' }}"
    "{% elif message.role == 'user' %}{{ 'User: ' ~ message.content ~ '\\n\\n' }}"
    "{% elif message.role == 'assistant' %}{{ 'Assistant: ' ~ message.content ~ eos_token }}"
    "{% else %}{{ raise_exception('the roles are system, user and assistant') }}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}";

Value message_value(const ChatMessage& message) {
  const Value content = message.has_content ? Value(Text(message.content, Origin::untrusted)) : Value();
  std::vector<std::pair<Text, Value>> items = {{Text("role"), Value(Text(message.role, Origin::untrusted))},
                                               {Text("content"), content}};
  for (const auto& [key, value] : message.more)
    items.emplace_back(Text(std::string_view(key), Origin::untrusted), untrusted_value(value));
  return jinja::make_dict(std::move(items));
}

}  // namespace

ChatTemplate ChatTemplate::from_source(std::string_view source, const std::string& bos_token,
                                       const std::string& eos_token, const std::string& where, jinja::Clock clock) {
  return ChatTemplate(jinja::Template(source, where), bos_token, eos_token, std::move(clock));
}

ChatTemplate ChatTemplate::deepseek_v2(const std::string& bos_token, const std::string& eos_token) {
  return from_source(kDeepseekV2, bos_token, eos_token, "the built-in DeepSeek-V2 chat template");
}

ChatTemplate ChatTemplate::with_tools(json::array tools) const {
  ChatTemplate out = *this;
  out.tools_ = std::move(tools);
  return out;
}

Text ChatTemplate::run(std::span<const ChatMessage> messages, bool add_generation_prompt) const {
  std::vector<Value> list;
  list.reserve(messages.size());
  for (const ChatMessage& message : messages) list.push_back(message_value(message));
  // transformers defines tools and documents as None when there are none, and leaves tokens out that are not set.
  std::vector<jinja::Variable> variables = {{"messages", jinja::make_list(std::move(list))},
                                            {"add_generation_prompt", Value(add_generation_prompt)},
                                            {"tools", tools_.empty() ? Value() : untrusted_value(tools_)},
                                            {"documents", Value()}};
  if (!bos_token_.empty()) variables.emplace_back("bos_token", Value(Text(bos_token_)));
  if (!eos_token_.empty()) variables.emplace_back("eos_token", Value(Text(eos_token_)));
  return program_.render(variables, clock_);
}

std::string ChatTemplate::render(std::span<const ChatMessage> messages, bool add_generation_prompt) const {
  return run(messages, add_generation_prompt).bytes;
}

std::vector<TextPiece> ChatTemplate::render_pieces(std::span<const ChatMessage> messages,
                                                   bool add_generation_prompt) const {
  const Text text = run(messages, add_generation_prompt);
  std::vector<TextPiece> pieces;
  for (size_t begin = 0; begin < text.size();) {
    const size_t other = text.origin.find_first_not_of(text.origin[begin], begin);
    const size_t end = std::min(other, text.size());
    pieces.push_back({text.bytes.substr(begin, end - begin), text.origin[begin] == static_cast<char>(Origin::trusted)});
    begin = end;
  }
  return pieces;
}

Value untrusted_value(const json::value& from) {
  try {
    return jinja::value_from_json(from, Origin::untrusted);
  } catch (const jinja::Fault& f) {
    throw Error(f.kind(), fmt::format("the chat template cannot be given these messages: {}", f.what()));
  }
}

std::vector<int32_t> encode_pieces(const Tokenizer& tokenizer, std::span<const TextPiece> pieces) {
  std::vector<AddedToken> special;
  for (const AddedToken& token : tokenizer.parts().added)
    if (token.special) special.push_back(token);
  const AddedTokenFinder finder(std::move(special));

  std::vector<int32_t> ids;
  std::string stretch;
  const auto flush = [&] {
    const auto more = tokenizer.encode(stretch, {.add_special = false, .parse_special = false});
    ids.insert(ids.end(), more.begin(), more.end());
    stretch.clear();
  };
  for (const TextPiece& piece : pieces) {
    if (!piece.trusted) {
      stretch += piece.text;
      continue;
    }
    finder.split(piece.text, true, [&](std::string_view text, int32_t id) {
      if (id < 0) {
        stretch += text;
        return;
      }
      flush();
      ids.push_back(id);
    });
  }
  flush();
  return ids;
}

std::vector<int32_t> encode_chat(const Tokenizer& tokenizer, const ChatTemplate& chat,
                                 std::span<const ChatMessage> messages, bool add_generation_prompt) {
  return encode_pieces(tokenizer, chat.render_pieces(messages, add_generation_prompt));
}

std::string answer_gap(const ChatTemplate& chat, std::span<const ChatMessage> messages) {
  const std::string prompt = chat.render(messages, true);
  std::vector<ChatMessage> finished(messages.begin(), messages.end());
  finished.push_back({"assistant", "x"});
  const std::vector<TextPiece> pieces = chat.render_pieces(finished, false);
  size_t end = pieces.size();  // behind the piece that is the answer
  while (end > 0 && pieces[end - 1].trusted) --end;
  std::string before;
  for (size_t i = 0; i + 1 < end; ++i) before += pieces[i].text;
  return before.starts_with(prompt) ? before.substr(prompt.size()) : std::string();
}

}  // namespace fathom
