// One conversation with a model: the messages, and the ids that they are. Each turn is a request of the whole
// conversation, of which the cache holds what the turns before it have run.
#pragma once
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/scheduler/scheduler.h"
#include "tokenizer/chat/chat_messages.h"
#include "tokenizer/tokenizer.h"

namespace fathom {

struct ChatSettings {
  SamplingOptions sampling;
  std::vector<int32_t> stop_ids;
  std::vector<std::string> stops;
  int64_t max_tokens = 0;  // of an answer; 0: what the context has room for
  std::shared_ptr<Speculator> speculator = {};
  bool quiet = false;
};

enum class AnswerEnd { finished, length, context_full, interrupted };

struct Answer {
  AnswerEnd end = AnswerEnd::finished;
  std::string text;
  int64_t n_cached = 0, n_prompt = 0, n_written = 0;  // tokens: of the conversation found in the cache, read, written
  double prompt_s = 0, write_s = 0;
  SpeculationCounts speculation;
};

class ChatSession {
 public:
  using ShowFn = std::function<void(std::string_view text)>;
  using InterruptedFn = std::function<bool()>;

  // Engine and tokenizer must outlive it.
  ChatSession(Engine& engine, const Tokenizer& tokenizer, ChatTemplate chat, ChatSettings settings);

  // The message in front of the conversation; empty: none. The rest stays.
  void set_system(const std::string& text);
  // Forgets all messages but the system's, and the tools.
  void clear();
  // Another conversation, as parse_conversation reads it. When an Error is thrown, the old one stays.
  void load(const Conversation& conversation, const std::string& where);
  Conversation conversation() const { return {messages_, tools_}; }
  bool waits_for_answer() const;  // the last message is a user's, or the result of a tool
  ChatSettings& settings() noexcept { return settings_; }

  // One turn. The answer is shown as it comes, in whole characters. Only tokens that the cache does not hold are run.
  // interrupted is asked after every token (and every layer of the prompt); what was written until then stays in the
  // conversation. When an Error is thrown (context full, a template that does not accept the messages), or the
  // interruption comes before the first token, the conversation is as it was.
  Answer say(const std::string& text, const ShowFn& show, const InterruptedFn& interrupted);
  // An answer to the conversation as it is: waits_for_answer().
  Answer answer(const ShowFn& show, const InterruptedFn& interrupted);
  // Another answer in place of the last one: with the next seed, as the same one gives the same text. bad_input when
  // there is nothing to answer.
  Answer regenerate(const ShowFn& show, const InterruptedFn& interrupted);

 private:
  class AnswerText;
  Answer answer_or_restore(const std::vector<ChatMessage>& before, const ShowFn& show,
                           const InterruptedFn& interrupted);
  std::vector<int32_t> prompt_ids(const std::vector<TextPiece>& pieces) const;
  GenerateRequest generate_request(int64_t n_prompt) const;
  void write_answer(const std::vector<int32_t>& ids, AnswerText& text, Answer& answer,
                    const InterruptedFn& interrupted);

  Engine& engine_;
  Scheduler scheduler_;
  const Tokenizer& tokenizer_;
  ChatTemplate chat_;
  ChatSettings settings_;
  std::vector<ChatMessage> messages_;
  json::array tools_;
  uint64_t attempts_ = 0;      // answers to the same message before
  std::vector<int32_t> past_;  // ids of the conversation
  std::string past_text_;      // how the template writes what past_ holds; empty: not known
};

}  // namespace fathom
