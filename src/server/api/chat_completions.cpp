// POST /v1/chat/completions: https://platform.openai.com/docs/api-reference/chat
#include <array>

#include "server/api/chat_request.h"
#include "server/api/constraint.h"
#include "server/api/openai_answer.h"
#include "server/api/routes.h"
#include "server/api/sampling_parameters.h"
#include "server/api/scores_json.h"

namespace fathom::server {
namespace {

using Type = Parameter::Type;

constexpr std::array kChat = {
    Parameter{"messages", Type::array, 0, 0, "the conversation", kObjectsForm},
    Parameter{"max_tokens", Type::integer, 0, kNoLimit, "most tokens of an answer"},
    Parameter{"max_completion_tokens", Type::integer, 0, kNoLimit, "another name of max_tokens"},
    Parameter{"logprobs", Type::boolean, 0, 0, "the log-probability of each token"},
    Parameter{"top_logprobs", Type::integer, 0, 20, "and of so many of the most likely ones"},
    Parameter{"tools", Type::array, 0, 0, "functions that may be called", kObjectsForm},
    Parameter{"tool_choice", Type::any, 0, 0, "none, auto, required, or a function", kToolChoiceForm},
    Parameter{"parallel_tool_calls", Type::ignored},  // a model calls as many as it does
    Parameter{"add_generation_prompt", Type::boolean},
    Parameter{"continue_final_message", Type::boolean, 0, 0, "go on with the last message, an assistant's"},
    Parameter{"modalities", Type::array, 0, 0, "[\"text\"]", kStringsForm},
    Parameter{"chat_template", Type::refused, 0, 0, "a template is the server's, given with --chat-template"},
    Parameter{"functions", Type::refused, 0, 0, "use tools"},
    Parameter{"function_call", Type::refused, 0, 0, "use tool_choice"},
    Parameter{"audio", Type::refused, 0, 0, "fathom's models write text"},
    Parameter{"web_search_options", Type::refused, 0, 0, "the server fetches nothing"},
    Parameter{"reasoning_effort", Type::refused, 0, 0, "models of the V2 family have no such setting"},
    Parameter{"verbosity", Type::refused, 0, 0, "models of the V2 family have no such setting"},
};

const char* end_text(MessageEnd e) {
  return e == MessageEnd::calls ? "tool_calls" : e == MessageEnd::length ? "length" : "stop";
}

json::array calls_json(const std::vector<ToolCall>& calls, bool with_index) {
  json::array out;
  for (const ToolCall& call : calls) {
    json::object o{
        {"id", call.id}, {"type", "function"}, {"function", {{"name", call.name}, {"arguments", call.arguments}}}};
    if (with_index) o["index"] = out.size();
    out.push_back(std::move(o));
  }
  return out;
}

json::value scores_json(const Tokenizer& tokenizer, bool wanted, const std::vector<TokenScore>& tokens) {
  if (!wanted) return nullptr;
  json::array content;
  for (const TokenScore& t : tokens) content.push_back(chat_score(tokenizer, t));
  return json::object{{"content", std::move(content)}, {"refusal", nullptr}};
}

class WholeChatAnswer final : public MessageAnswer {
 public:
  WholeChatAnswer(ServedModel& model, std::shared_ptr<http::Exchange> exchange, bool scores, ToolPlan plan, int64_t n)
      : MessageAnswer(std::move(plan), n),
        model_(model),
        exchange_(std::move(exchange)),
        form_(answer_form(model, "chatcmpl-", "chat.completion")),
        scores_(scores),
        choices_(static_cast<size_t>(n)) {}

  void all_ended(const Usage& usage, const Ended& first) override {
    json::array choices;
    for (size_t i = 0; i < choices_.size(); ++i) {
      Collected& c = choices_[i];
      const bool is_call = c.text.empty() && !c.calls.empty();
      json::object message{
          {"role", "assistant"}, {"content", is_call ? json::value() : json::value(c.text)}, {"refusal", nullptr}};
      if (!c.calls.empty()) message["tool_calls"] = calls_json(c.calls, false);
      choices.push_back({{"index", i},
                         {"message", std::move(message)},
                         {"logprobs", scores_json(model_.tokenizer(), scores_, c.tokens)},
                         {"finish_reason", end_text(c.end)}});
    }
    reply_whole(*exchange_, form_, std::move(choices), model_, usage, first);
  }
  void failed(const http::ErrorInfo& error) override { exchange_->reply(http::error_reply(error)); }

 private:
  struct Collected {
    std::string text;
    std::vector<TokenScore> tokens;
    std::vector<ToolCall> calls;
    MessageEnd end = MessageEnd::stop;
  };
  Collected& of(int64_t choice) { return choices_[static_cast<size_t>(choice)]; }
  void on_text(int64_t choice, std::string text, const std::vector<TokenScore>& tokens) override {
    of(choice).text += text;
    of(choice).tokens.insert(of(choice).tokens.end(), tokens.begin(), tokens.end());
  }
  void on_calls(int64_t choice, std::vector<ToolCall> calls) override { of(choice).calls = std::move(calls); }
  void on_choice_end(int64_t choice, MessageEnd end) override { of(choice).end = end; }

  ServedModel& model_;
  std::shared_ptr<http::Exchange> exchange_;
  AnswerForm form_;
  bool scores_;
  std::vector<Collected> choices_;
};

struct ChatStreamOptions {
  StreamOptions stream;
  bool scores = false, progress = false;
};

class StreamedChatAnswer final : public MessageAnswer {
 public:
  StreamedChatAnswer(const RequestContext& c, std::shared_ptr<http::Exchange> exchange,
                     const ChatStreamOptions& options, ToolPlan plan, int64_t n)
      : MessageAnswer(std::move(plan), n),
        tokenizer_(c.model.tokenizer()),
        stream_(c.model, std::move(exchange), answer_form(c.model, "chatcmpl-", "chat.completion.chunk"),
                options.stream, c.limits.keep_alive),
        options_(options),
        has_role_(static_cast<size_t>(n), false) {}

  void begin() override { stream_.begin(); }
  void prompt_progress(int64_t done, int64_t n) override {
    if (options_.progress) stream_.send({}, {{"prompt_progress", {{"processed", done}, {"total", n}}}});
  }
  void all_ended(const Usage& usage, const Ended& first) override { stream_.finish(usage, first); }
  void failed(const http::ErrorInfo& error) override { stream_.fail(error); }

 private:
  void on_text(int64_t choice, std::string text, const std::vector<TokenScore>& tokens) override {
    if (text.empty() && !options_.scores) return;
    json::object delta = with_role(choice);
    delta["content"] = text;
    send(choice, std::move(delta), scores_json(tokenizer_, options_.scores, tokens), nullptr);
  }
  void on_calls(int64_t choice, std::vector<ToolCall> calls) override {
    json::object delta = with_role(choice);
    if (delta.contains("content")) delta["content"] = nullptr;
    delta["tool_calls"] = calls_json(calls, true);
    send(choice, std::move(delta), nullptr, nullptr);
  }
  void on_choice_end(int64_t choice, MessageEnd end) override {
    send(choice, with_role(choice), nullptr, end_text(end));
  }
  json::object with_role(int64_t choice) {
    if (has_role_[static_cast<size_t>(choice)]) return {};
    has_role_[static_cast<size_t>(choice)] = true;
    return {{"role", "assistant"}, {"content", ""}};
  }
  void send(int64_t choice, json::object delta, json::value scores, json::value finish) {
    stream_.send({{{"index", choice},
                   {"delta", std::move(delta)},
                   {"logprobs", std::move(scores)},
                   {"finish_reason", std::move(finish)}}});
  }

  const Tokenizer& tokenizer_;
  ChunkStream stream_;
  ChatStreamOptions options_;
  std::vector<bool> has_role_;
};

void check_modalities(const Parameters& p) {
  const json::array* list = p.array("modalities");
  if (list == nullptr) return;
  for (const json::value& v : *list)
    if (!v.is_string() || v.get_string() != "text")
      refuse("modalities", "modalities: fathom's models write text alone");
}

// max_tokens has two names.
std::optional<int64_t> most_tokens(const Parameters& p) {
  if (p.has("max_tokens") && p.has("max_completion_tokens"))
    refuse("max_tokens", "max_tokens and max_completion_tokens are given; they are one thing");
  return p.has("max_tokens") ? p.integer("max_tokens") : p.integer("max_completion_tokens");
}

}  // namespace

ParameterLists chat_parameters() {
  return {kChat, generation_parameters(), sampling_parameters(), constraint_parameters()};
}

void chat_completions(const ServiceContext& service, const http::Request& request,
                      const std::shared_ptr<http::Exchange>& exchange) {
  const Parameters p(request.body, chat_parameters());
  const RequestContext c = request_context(service, p);
  ServedModel& model = c.model;
  if (!p.has("messages")) refuse("messages", "messages is missing");
  check_modalities(p);
  const StreamOptions stream = stream_options(p);
  ChatRequest chat{.messages = *p.array("messages"),
                   .tools = p.has("tools") ? *p.find("tools") : json::value(),
                   .plan = tool_plan(p.array("tools"), p.find("tool_choice")),
                   .grammar = constraint_of(p),
                   .max_tokens = most_tokens(p),
                   .prompt = prompt_options(p)};
  GenerationSpec spec;
  apply_generation_parameters(c, p, spec);
  const bool scores = p.boolean("logprobs").value_or(false);
  if (p.has("top_logprobs") && !scores) refuse("top_logprobs", "top_logprobs needs logprobs to be true");
  if (scores) spec.request.logprobs = p.integer("top_logprobs").value_or(0);
  const int64_t n = spec.n;
  std::unique_ptr<AnswerWriter> writer;
  if (p.boolean("stream").value_or(false))
    writer = std::make_unique<StreamedChatAnswer>(
        c, exchange, ChatStreamOptions{stream, scores, p.boolean("return_progress").value_or(false)}, chat.plan, n);
  else
    writer = std::make_unique<WholeChatAnswer>(model, exchange, scores, chat.plan, n);
  answer_chat(c, request, exchange, chat, std::move(spec), std::move(writer));
}

}  // namespace fathom::server
