// A request that generates, between the HTTP exchange and the engine: what every API shares.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "grammar/grammar.h"
#include "http/exchange.h"
#include "server/choice_text.h"
#include "server/metrics.h"
#include "server/served_model.h"

namespace fathom::server {

struct Usage {
  int64_t prompt_tokens = 0, completion_tokens = 0, cached_tokens = 0;
};

enum class Finish : uint8_t { stop, length };

// One API's way to say what is generated, over one exchange. Called on the engine's thread; choices are numbered prompt
// by prompt. What it throws (memory that runs out) ends the request.
class AnswerWriter {
 public:
  virtual ~AnswerWriter() = default;
  // The request has been accepted: a stream sends its head, so that keep-alives can follow. On the thread of the
  // handler, while the others may already be called.
  virtual void begin() {}
  virtual void prompt_progress(int64_t /*n_done*/, int64_t /*n_prompt*/) {}
  virtual void prompt_token(int64_t /*choice*/, int64_t /*index*/, const TokenScore&) {}
  virtual void delta(int64_t choice, TextDelta delta) = 0;
  virtual void stopped_by(int64_t /*choice*/, const std::string& /*stop*/) {}  // before choice_ended
  virtual void choice_ended(int64_t choice, Finish finish) = 0;
  virtual void all_ended(const Usage& usage, const Ended& first) = 0;
  // In place of all that is missing.
  virtual void failed(const http::ErrorInfo& error) = 0;
};

struct GenerationSpec {
  std::vector<std::vector<int32_t>> prompts;
  int64_t n = 1;                  // choices for each
  ScheduledRequest request = {};  // its prompt, seed and events are set here; choice i has the seed + i
  std::vector<std::string> stops = {};
  std::string gap = {};                         // as of ChoiceText
  std::shared_ptr<const Grammar> grammar = {};  // what an answer must be; nullptr: anything
};

struct GenerationContext {
  ServedModel& model;
  ModelMetrics& metrics;
  std::string key_name;  // whose request it is: prefixes are shared, and the machine is, by key
  uint64_t salt_secret;  // of this process
};

// ApiError for a prompt that can never run: 400, context_length_exceeded where it is too long.
void check_prompts(const ServedModel& model, std::span<const std::vector<int32_t>> prompts);
// ApiError for requests that the engine did not take: 429 with a full queue, 503 while the server stops.
[[noreturn]] void throw_not_taken(EngineThread::Submitted why, ServedModel& model);

// Checks the prompts, queues the request and answers it through `writer`; a client that goes away cancels it. Throws
// ApiError before anything is queued, as these two.
void start_generation(const GenerationContext& context, const std::shared_ptr<http::Exchange>& exchange,
                      GenerationSpec spec, std::unique_ptr<AnswerWriter> writer);

}  // namespace fathom::server
