// Chat messages -> the text, and the token ids, that a chat model was trained on.
//
// The text is what transformers' apply_chat_template gives (jinja.h). What people typed stays text: every byte of a
// message, its role included, is marked as not trusted through whatever the template does to it, and encode_chat looks
// for special tokens only within runs of trusted bytes. Someone who types "<|User|>" cannot open a turn, and a message
// that ends in half a special token cannot complete one with the template's text.
#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/json/json.h"
#include "jinja/template.h"

namespace fathom {

class Tokenizer;

struct ChatMessage {
  std::string role;  // "system", "user", "assistant", "tool", or what else the template knows
  std::string content;
  bool has_content = true;  // false: the template sees None, as beside tool_calls
  json::object more = {};   // what else the template sees: tool_calls, tool_call_id, name, reasoning_content
};

struct TextPiece {
  std::string text;
  bool trusted;  // from the template, bos_token or eos_token; else from a message
};

// Immutable; threads may render at once.
class ChatTemplate {
 public:
  // bos_token, eos_token: as the tokenizer spells them; empty: the template finds them undefined.
  // where: names the source in messages, for example "tokenizer_config.json: chat_template".
  // clock: what strftime_now tells.
  // Throws Error for a template that is malformed (bad_input), outside the subset of jinja.h (unsupported) or too
  // large.
  static ChatTemplate from_source(std::string_view source, const std::string& bos_token, const std::string& eos_token,
                                  const std::string& where, jinja::Clock clock = jinja::local_time);
  // For checkpoints of the V2 family that bring no template:
  //     BOS [system "\n\n"] ( "User: " user "\n\n" "Assistant: " assistant EOS )* "User: " user "\n\n" "Assistant:"
  // Source: the template of DeepSeek-V2-Chat. Unlike it, a role that it does not know is an Error, not dropped.
  static ChatTemplate deepseek_v2(const std::string& bos_token, const std::string& eos_token);

  // The same with tools: what a request of the OpenAI form has under "tools". Empty: the template sees None.
  ChatTemplate with_tools(json::array tools) const;

  // add_generation_prompt: end with what comes before an answer. Time and memory are bounded (jinja::Limits).
  // Throws Error: bad_input when the template does not accept the messages (with its own words), unsupported, resource.
  std::string render(std::span<const ChatMessage> messages, bool add_generation_prompt) const;
  // The same text in pieces; neighbours differ in trust.
  std::vector<TextPiece> render_pieces(std::span<const ChatMessage> messages, bool add_generation_prompt) const;

 private:
  ChatTemplate(jinja::Template program, std::string bos_token, std::string eos_token, jinja::Clock clock)
      : program_(std::move(program)),
        bos_token_(std::move(bos_token)),
        eos_token_(std::move(eos_token)),
        clock_(std::move(clock)) {}
  jinja::Text run(std::span<const ChatMessage> messages, bool add_generation_prompt) const;

  jinja::Template program_;
  std::string bos_token_, eos_token_;
  jinja::Clock clock_;
  json::array tools_;
};

// A value from outside, as templates see it: none of its text is trusted. unsupported for integers beyond 64 bits with
// sign, and for nesting beyond jinja::kMaxNesting.
jinja::Value untrusted_value(const json::value& from);

// The ids of a text in pieces: special tokens are looked for only within trusted pieces, and each stretch of text
// between two of them is encoded as one, across the borders of pieces.
std::vector<int32_t> encode_pieces(const Tokenizer& tokenizer, std::span<const TextPiece> pieces);

// encode_pieces(render_pieces(...)). The ids are those of
// tokenizer.encode(render(...), {.add_special = false, .parse_special = true}), which is what transformers gives,
// unless a message spells a special token, or half of one that the template's text completes. (Added tokens that are
// not marked special, such as the FIM tokens of Coder-V2, are found in messages too, as there; so is white space that
// an added token with lstrip or rstrip takes along, but only from the template's own text.)
std::vector<int32_t> encode_chat(const Tokenizer& tokenizer, const ChatTemplate& chat,
                                 std::span<const ChatMessage> messages, bool add_generation_prompt);

// What the template puts between its generation prompt and an answer: " " for DeepSeek-V2, whose prompt ends with
// "Assistant:" and whose finished turns say "Assistant: ...". A model writes it as the start of its answer, and it is
// not part of the message. Empty when a finished turn does not begin with the generation prompt.
std::string answer_gap(const ChatTemplate& chat, std::span<const ChatMessage> messages);

}  // namespace fathom
