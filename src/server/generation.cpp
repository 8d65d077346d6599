#include "server/generation.h"

#include <atomic>

#include "base/xxh64.h"
#include "engine/scheduler/request.h"
#include "kernels/peak.h"
#include "server/api/api_error.h"

namespace fathom::server {
namespace {

struct Choice {
  ChoiceText text;
  double last_token = 0;  // when it came, of clock_seconds()
};

// Shared by the events of all choices, which come on the engine's thread, and by the exchange's on_gone.
struct Generation {
  Generation(ServedModel& m, ModelMetrics& told, std::shared_ptr<AnswerWriter> w)
      : model(m), metrics(told), writer(std::move(w)) {}

  ServedModel& model;
  ModelMetrics& metrics;
  std::shared_ptr<AnswerWriter> writer;  // null: let go of, and with it the exchange
  std::vector<Choice> choices;
  std::vector<EngineThread::Ticket> tickets;  // written by submit() before the engine's thread can read them
  int64_t n_ended = 0, per_prompt = 1;
  bool has_failed = false;
  std::atomic<bool> is_over = false;  // could not be cancelled: choices end with their next token
  Usage usage;
  std::optional<Ended> first;

  void cancel_all() noexcept {
    try {
      for (const EngineThread::Ticket t : tickets) model.engine().cancel(t);
    } catch (const std::bad_alloc&) {
      is_over = true;
    }
  }

  bool token(size_t choice, const TokenScore& score) {
    if (is_over) return false;
    Choice& c = choices[choice];
    const double now = clock_seconds();
    if (c.last_token > 0) metrics.token_interval(now - c.last_token);
    c.last_token = now;
    TextDelta delta = c.text.push(score);
    if (!delta.empty() && !has_failed) writer->delta(static_cast<int64_t>(choice), std::move(delta));
    return !c.text.stopped();
  }

  // Memory that is missing for the end of an answer, or to tell its failure, leaves nothing but to let go of it.
  void ended(size_t choice, const Ended& e) noexcept {
    try {
      take_end(choice, e);
    } catch (...) {
      has_failed = true;
      writer.reset();
      cancel_all();
    }
  }

 private:
  void take_end(size_t choice, const Ended& e) {
    metrics.request_ended(e);
    Choice& c = choices[choice];
    if (!first) first = e;
    if (choice % static_cast<size_t>(per_prompt) == 0) {
      usage.prompt_tokens += e.n_prompt;
      usage.cached_tokens += e.n_cached;
    }
    usage.completion_tokens += e.n_generated;
    if (e.reason == EndReason::error || e.reason == EndReason::deadline || e.reason == EndReason::cancelled) {
      fail(e);
    } else if (!has_failed) {
      if (TextDelta rest = c.text.finish(); !rest.empty()) writer->delta(static_cast<int64_t>(choice), std::move(rest));
      if (c.text.stopped()) writer->stopped_by(static_cast<int64_t>(choice), c.text.stop());
      writer->choice_ended(static_cast<int64_t>(choice), e.reason == EndReason::length ? Finish::length : Finish::stop);
    }
    if (++n_ended == std::ssize(choices) && !has_failed) writer->all_ended(usage, *first);
  }

  // The first fault ends the answer; the other choices are of no use to anybody.
  void fail(const Ended& e) {
    if (std::exchange(has_failed, true)) return;
    http::ErrorInfo info{.status = 500, .message = "the request was cancelled"};
    if (e.reason == EndReason::deadline)
      info = {.status = 504, .message = "the request took longer than it was given", .code = "timeout"};
    else if (e.error)
      info = {.status = e.error->kind() == ErrorKind::resource ? 503 : 500, .message = e.error->what()};
    writer->failed(info);
    cancel_all();
  }
};

uint64_t salt_of(const GenerationContext& c) { return xxh64(c.key_name, c.salt_secret); }

}  // namespace

void check_prompts(const ServedModel& model, std::span<const std::vector<int32_t>> prompts) {
  for (const std::vector<int32_t>& ids : prompts) {
    try {
      check_prompt(ids, model.config(), model.context_tokens(), model.cache_tokens());
    } catch (const Error& e) {
      const bool is_long = std::ssize(ids) > model.context_tokens() || std::ssize(ids) > model.cache_tokens();
      throw ApiError({.status = 400,
                      .message = e.what(),
                      .param = "prompt",
                      .code = is_long ? "context_length_exceeded" : "invalid_prompt"});
    }
  }
}

void throw_not_taken(EngineThread::Submitted why, ServedModel& model) {
  if (why == EngineThread::Submitted::queue_full)
    throw ApiError({.status = 429,
                    .message = "too many requests wait already; try again later",
                    .type = "rate_limit_error",
                    .code = "queue_full"});
  if (why == EngineThread::Submitted::failed)
    throw ApiError({.status = 503, .message = "the model could not be loaded: " + model.engine().snapshot().error});
  throw ApiError({.status = 503, .message = "the server is stopping; try again later", .code = "shutting_down"});
}

void start_generation(const GenerationContext& c, const std::shared_ptr<http::Exchange>& exchange, GenerationSpec spec,
                      std::unique_ptr<AnswerWriter> writer) {
  ServedModel& model = c.model;
  check_prompts(model, spec.prompts);
  auto shared = std::make_shared<Generation>(model, c.metrics, std::move(writer));
  shared->per_prompt = spec.n;
  std::vector<ScheduledRequest> requests;
  for (size_t p = 0; p < spec.prompts.size(); ++p)
    for (int64_t i = 0; i < spec.n; ++i) {
      const size_t choice = shared->choices.size();
      shared->choices.push_back({.text = ChoiceText(model.tokenizer(), spec.stops, spec.gap)});
      ScheduledRequest r = spec.request;
      r.prompt = spec.prompts[p];
      r.salt = salt_of(c);
      r.owner = r.salt;
      r.generate.sampling.seed += static_cast<uint64_t>(choice);
      if (spec.grammar) r.constraint = std::make_shared<Matcher>(spec.grammar, model.vocabulary());
      r.events.on_token = [shared, choice](const TokenScore& t) { return shared->token(choice, t); };
      r.events.on_end = [shared, choice](const Ended& e) { shared->ended(choice, e); };
      if (r.prompt_logprobs >= 0)
        r.events.on_prompt_token = [shared, choice](int64_t index, const TokenScore& t) {
          if (!shared->has_failed) shared->writer->prompt_token(static_cast<int64_t>(choice), index, t);
        };
      if (choice == 0)
        r.events.on_prompt = [shared](int64_t done, int64_t n) {
          if (!shared->has_failed) shared->writer->prompt_progress(done, n);
        };
      requests.push_back(std::move(r));
    }
  // Made before the request is posted: what follows that must not fail, or cancels it.
  std::function<void()> on_gone = [shared] { shared->cancel_all(); };
  const std::shared_ptr<AnswerWriter> begun = shared->writer;
  const auto submitted = model.engine().submit(std::move(requests), shared->tickets);
  if (submitted != EngineThread::Submitted::yes) throw_not_taken(submitted, model);
  exchange->on_gone(std::move(on_gone));
  try {
    begun->begin();
  } catch (...) {
    shared->cancel_all();
    throw;
  }
}

}  // namespace fathom::server
