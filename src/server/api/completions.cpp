// POST /v1/completions: https://platform.openai.com/docs/api-reference/completions, with echo and logprobs as
// evaluation harnesses need them.
#include <array>

#include "base/text/utf8.h"
#include "server/api/constraint.h"
#include "server/api/request_context.h"
#include "server/api/sampling_parameters.h"
#include "server/api/scores_json.h"
#include "server/prompt.h"
#include "server/sse.h"

namespace fathom::server {
namespace {

using Type = Parameter::Type;

constexpr int64_t kDefaultTokens = 16;  // as OpenAI

constexpr std::array kCompletions = {
    Parameter{"prompt", Type::any, 0, 0, "a text, token ids, or an array of either"},
    Parameter{"suffix", Type::text, 0, 0, "what follows the text that is filled in"},
    Parameter{"echo", Type::boolean, 0, 0, "the prompt stands in front of the answer, with its logprobs"},
    Parameter{"max_tokens", Type::integer, 0, kNoLimit, "most tokens of an answer"},
    Parameter{"max_completion_tokens", Type::integer, 0, kNoLimit, "another name of max_tokens"},
    Parameter{"logprobs", Type::integer, 0, 20, "log-probabilities of each token and of so many of the most likely"},
    Parameter{"best_of", Type::integer, 1, kMostChoices, "as n"},
};

struct CompletionForm {
  std::string id, model, fingerprint;
  int64_t created = 0;
  bool scores = false, echo = false, include_usage = false;
  json::object envelope(json::array choices) const {
    return {{"id", id},       {"object", "text_completion"},       {"created", created},
            {"model", model}, {"system_fingerprint", fingerprint}, {"choices", std::move(choices)}};
  }
};

int64_t code_points(std::string_view text) {
  return std::count_if(text.begin(), text.end(), [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; });
}

// Text and scores of every choice, the prompt's in front where it is echoed.
class CompletionAnswer : public AnswerWriter {
 public:
  CompletionAnswer(ServedModel& model, CompletionForm form, const GenerationSpec& spec)
      : model_(model), form_(std::move(form)) {
    const Tokenizer& t = model.tokenizer();
    for (const auto& prompt : spec.prompts) {
      // A text does not begin with the token that was put in front of it: its offsets are the client's own.
      const bool has_bos = t.adds_bos() && t.bos() == prompt[0];
      const std::string text = t.decode(std::span(prompt).subspan(has_bos ? 1 : 0), {.replace_invalid = true});
      for (int64_t i = 0; i < spec.n; ++i) {
        Choice& c = choices_.emplace_back(CompletionScores(t, form_.echo ? 0 : code_points(text)));
        if (!form_.echo) continue;
        c.text = text;
        if (form_.scores) c.scores.add_unscored(prompt[0], !has_bos);
      }
    }
  }
  void prompt_token(int64_t choice, int64_t, const TokenScore& t) override { of(choice).scores.add(t); }
  void delta(int64_t choice, TextDelta d) override {
    Choice& c = of(choice);
    c.text += d.text;
    if (form_.scores)
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
    if (form_.scores) out["logprobs"] = c.scores.take();
    out["finish_reason"] = c.finish != nullptr ? json::value(c.finish) : json::value(nullptr);
    return out;
  }

  ServedModel& model_;
  CompletionForm form_;
  std::vector<Choice> choices_;
};

class WholeCompletion final : public CompletionAnswer {
 public:
  WholeCompletion(ServedModel& m, std::shared_ptr<http::Exchange> e, CompletionForm f, const GenerationSpec& s)
      : CompletionAnswer(m, std::move(f), s), exchange_(std::move(e)) {}
  void choice_ended(int64_t choice, Finish f) override { of(choice).finish = f == Finish::length ? "length" : "stop"; }
  void all_ended(const Usage& usage, const Ended& first) override {
    json::array choices;
    for (size_t i = 0; i < choices_.size(); ++i) choices.push_back(take(static_cast<int64_t>(i)));
    json::object out = form_.envelope(std::move(choices));
    out["usage"] = usage_json(usage);
    out["timings"] = timings_json(first, model_.engine().snapshot());
    exchange_->reply({.body = json::serialize(out)});
  }
  void failed(const http::ErrorInfo& error) override { exchange_->reply(http::error_reply(error)); }

 private:
  std::shared_ptr<http::Exchange> exchange_;
};

class StreamedCompletion final : public CompletionAnswer {
 public:
  StreamedCompletion(ServedModel& m, std::shared_ptr<http::Exchange> e, CompletionForm f, const GenerationSpec& s,
                     std::chrono::milliseconds keep_alive)
      : CompletionAnswer(m, std::move(f), s), stream_(std::move(e), keep_alive) {}
  void begin() override { stream_.begin(); }
  void choice_ended(int64_t choice, Finish f) override {
    of(choice).finish = f == Finish::length ? "length" : "stop";
    progressed(choice);
  }
  void all_ended(const Usage& usage, const Ended& first) override {
    if (form_.include_usage) {
      json::object out = form_.envelope({});
      out["usage"] = usage_json(usage);
      out["timings"] = timings_json(first, model_.engine().snapshot());
      stream_.send(out);
    }
    stream_.send_text("[DONE]");
    stream_.end();
  }
  void failed(const http::ErrorInfo& error) override {
    stream_.send_text(http::openai_error(error));
    stream_.end();
  }

 private:
  void progressed(int64_t choice) override {
    json::object out = form_.envelope({take(choice)});
    if (form_.include_usage) out["usage"] = nullptr;
    stream_.send(out);
  }
  EventStream stream_;
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

void completions(const ServiceContext& c, const http::Request& request,
                 const std::shared_ptr<http::Exchange>& exchange) {
  const std::array lists = {std::span<const Parameter>(kCompletions), generation_parameters(), sampling_parameters(),
                            constraint_parameters()};
  const Parameters p(request.body, lists);
  ServedModel& model = model_of(c, p);
  only_keys(p.object("stream_options"), "stream_options", {"include_usage", "include_obfuscation"});
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
  CompletionForm form{.id = new_id("cmpl-"),
                      .model = model.name(),
                      .fingerprint = model.fingerprint(),
                      .created = unix_seconds(),
                      .scores = logprobs.has_value(),
                      .echo = echo,
                      .include_usage = flag_of(p.object("stream_options"), "stream_options", "include_usage")};
  std::unique_ptr<AnswerWriter> writer;
  if (p.boolean("stream").value_or(false))
    writer = std::make_unique<StreamedCompletion>(model, exchange, std::move(form), spec, c.limits.keep_alive);
  else
    writer = std::make_unique<WholeCompletion>(model, exchange, std::move(form), spec);
  start_generation({model, c.metrics, request.key_name, c.salt_secret}, exchange, std::move(spec), std::move(writer));
}

}  // namespace fathom::server
