// POST /v1/completions: https://platform.openai.com/docs/api-reference/completions, with echo and logprobs as
// evaluation harnesses need them.
#include <array>

#include "base/text/utf8.h"
#include "server/api/constraint.h"
#include "server/api/openai_answer.h"
#include "server/api/routes.h"
#include "server/api/sampling_parameters.h"
#include "server/api/scores_json.h"
#include "server/prompt.h"

namespace fathom::server {
namespace {

using Type = Parameter::Type;

constexpr int64_t kDefaultTokens = 16;  // as OpenAI

constexpr std::array kCompletions = {
    Parameter{"prompt", Type::any, 0, 0, "a text, token ids, or an array of either", kPromptsForm},
    Parameter{"suffix", Type::text, 0, 0, "what follows the text that is filled in"},
    Parameter{"echo", Type::boolean, 0, 0, "the prompt stands in front of the answer, with its logprobs"},
    Parameter{"max_tokens", Type::integer, 0, kNoLimit, "most tokens of an answer"},
    Parameter{"max_completion_tokens", Type::integer, 0, kNoLimit, "another name of max_tokens"},
    Parameter{"logprobs", Type::integer, 0, 20, "log-probabilities of each token and of so many of the most likely"},
    Parameter{"best_of", Type::integer, 1, kMostChoices, "as n"},
};

// Text and scores of every choice, the prompt's in front where it is echoed.
class CompletionAnswer : public AnswerWriter {
 public:
  CompletionAnswer(const Tokenizer& t, const GenerationSpec& spec, bool echo) : scores_(spec.request.logprobs >= 0) {
    for (const auto& prompt : spec.prompts) {
      // A text does not begin with the token that was put in front of it: its offsets are the client's own.
      const bool has_bos = t.adds_bos() && t.bos() == prompt[0];
      const std::string text = t.decode(std::span(prompt).subspan(has_bos ? 1 : 0), {.replace_invalid = true});
      for (int64_t i = 0; i < spec.n; ++i) {
        Choice& c = choices_.emplace_back(CompletionScores(t, echo ? 0 : characters_begun(text)));
        if (!echo) continue;
        c.text = text;
        if (scores_) c.scores.add_unscored(prompt[0], !has_bos);
      }
    }
  }
  void prompt_token(int64_t choice, int64_t, const TokenScore& t) override { of(choice).scores.add(t); }
  void delta(int64_t choice, TextDelta d) override {
    Choice& c = of(choice);
    c.text += d.text;
    if (scores_)
      for (const TokenScore& t : d.tokens) c.scores.add(t);
    progressed(choice);
  }

 protected:
  struct Choice {
    explicit Choice(CompletionScores s) : scores(std::move(s)) {}
    std::string text = {};
    CompletionScores scores;
    const char* finish = nullptr;
  };
  Choice& of(int64_t choice) { return choices_[static_cast<size_t>(choice)]; }
  virtual void progressed(int64_t /*choice*/) {}
  // What has come since the last call.
  json::object take(int64_t choice) {
    Choice& c = of(choice);
    json::object out{{"index", choice}, {"text", std::exchange(c.text, {})}, {"logprobs", nullptr}};
    if (scores_) out["logprobs"] = c.scores.take();
    out["finish_reason"] = c.finish != nullptr ? json::value(c.finish) : json::value(nullptr);
    return out;
  }

  bool scores_;
  std::vector<Choice> choices_;
};

const char* end_text(Finish f) { return f == Finish::length ? "length" : "stop"; }

class WholeCompletion final : public CompletionAnswer {
 public:
  WholeCompletion(ServedModel& model, std::shared_ptr<http::Exchange> exchange, const GenerationSpec& spec, bool echo)
      : CompletionAnswer(model.tokenizer(), spec, echo),
        model_(model),
        exchange_(std::move(exchange)),
        form_(answer_form(model, "cmpl-", "text_completion")) {}
  void choice_ended(int64_t choice, Finish f) override { of(choice).finish = end_text(f); }
  void all_ended(const Usage& usage, const Ended& first) override {
    json::array choices;
    for (size_t i = 0; i < choices_.size(); ++i) choices.push_back(take(static_cast<int64_t>(i)));
    reply_whole(*exchange_, form_, std::move(choices), model_, usage, first);
  }
  void failed(const http::ErrorInfo& error) override { exchange_->reply(http::error_reply(error)); }

 private:
  ServedModel& model_;
  std::shared_ptr<http::Exchange> exchange_;
  AnswerForm form_;
};

class StreamedCompletion final : public CompletionAnswer {
 public:
  StreamedCompletion(const RequestContext& c, std::shared_ptr<http::Exchange> exchange, const GenerationSpec& spec,
                     bool echo, StreamOptions options)
      : CompletionAnswer(c.model.tokenizer(), spec, echo),
        stream_(c.model, std::move(exchange), answer_form(c.model, "cmpl-", "text_completion"), options,
                c.limits.keep_alive) {}
  void begin() override { stream_.begin(); }
  void choice_ended(int64_t choice, Finish f) override {
    of(choice).finish = end_text(f);
    progressed(choice);
  }
  void all_ended(const Usage& usage, const Ended& first) override { stream_.finish(usage, first); }
  void failed(const http::ErrorInfo& error) override { stream_.fail(error); }

 private:
  void progressed(int64_t choice) override { stream_.send({take(choice)}); }
  ChunkStream stream_;
};

std::vector<std::vector<int32_t>> prompts_of(const ServedModel& model, const Parameters& p) {
  if (!p.has("prompt")) refuse("prompt", "prompt is missing");
  const json::value& prompt = *p.find("prompt");
  const auto suffix = p.text("suffix");
  if (!suffix || suffix->empty()) return completion_prompts(model, prompt);
  if (!prompt.is_string()) refuse("suffix", "suffix needs a prompt that is a text");
  return {fill_in_prompt(model, std::string_view(prompt.get_string()), *suffix)};
}

}  // namespace

ParameterLists completion_parameters() {
  return {kCompletions, generation_parameters(), sampling_parameters(), constraint_parameters()};
}

void completions(const ServiceContext& service, const http::Request& request,
                 const std::shared_ptr<http::Exchange>& exchange) {
  const Parameters p(request.body, completion_parameters());
  const RequestContext c = request_context(service, p);
  ServedModel& model = c.model;
  const StreamOptions stream = stream_options(p);
  GenerationSpec spec;
  spec.prompts = prompts_of(model, p);
  spec.grammar = constraint_of(p);
  apply_generation_parameters(c, p, spec);
  if (p.integer("best_of").value_or(spec.n) != spec.n)
    refuse("best_of", "best_of is {} and n is {}; all answers are given, so they are equal", *p.integer("best_of"),
           spec.n);
  const bool echo = p.boolean("echo").value_or(false);
  if (echo && p.has("suffix")) refuse("echo", "echo and suffix are given; one of them can hold");
  const auto logprobs = p.integer("logprobs");
  spec.request.generate.max_tokens =
      p.integer("max_tokens").value_or(p.integer("max_completion_tokens").value_or(kDefaultTokens));
  if (logprobs) spec.request.logprobs = *logprobs;
  if (logprobs && echo) spec.request.prompt_logprobs = *logprobs;
  std::unique_ptr<AnswerWriter> writer;
  if (p.boolean("stream").value_or(false))
    writer = std::make_unique<StreamedCompletion>(c, exchange, spec, echo, stream);
  else
    writer = std::make_unique<WholeCompletion>(model, exchange, spec, echo);
  start_generation({model, c.metrics, request.key_name, c.salt_secret}, exchange, std::move(spec), std::move(writer));
}

}  // namespace fathom::server
