// An answer that is a message: text, and calls of tools. What the chat APIs share; each says it in its own form.
#pragma once
#include <vector>

#include "server/api/tools.h"
#include "server/generation.h"

namespace fathom::server {

enum class MessageEnd : uint8_t { stop, length, calls };

class MessageAnswer : public AnswerWriter {
 public:
  MessageAnswer(ToolPlan plan, int64_t n_choices) : plan_(std::move(plan)) {
    for (int64_t i = 0; i < n_choices; ++i) parsers_.emplace_back(plan_);
  }
  void delta(int64_t choice, TextDelta d) final {
    std::string text = parsers_[static_cast<size_t>(choice)].push(d.text);
    if (!text.empty() || !d.tokens.empty()) on_text(choice, std::move(text), d.tokens);
  }
  void choice_ended(int64_t choice, Finish finish) final {
    CallParser::Rest rest = parsers_[static_cast<size_t>(choice)].finish();
    if (!rest.text.empty()) on_text(choice, std::move(rest.text), {});
    const bool has_calls = !rest.calls.empty();
    if (has_calls) on_calls(choice, std::move(rest.calls));
    on_choice_end(choice, has_calls                  ? MessageEnd::calls
                          : finish == Finish::length ? MessageEnd::length
                                                     : MessageEnd::stop);
  }

 protected:
  // text may be empty where there are scores of tokens.
  virtual void on_text(int64_t choice, std::string text, const std::vector<TokenScore>& tokens) = 0;
  virtual void on_calls(int64_t choice, std::vector<ToolCall> calls) = 0;
  virtual void on_choice_end(int64_t choice, MessageEnd end) = 0;

 private:
  ToolPlan plan_;
  std::vector<CallParser> parsers_;
};

}  // namespace fathom::server
