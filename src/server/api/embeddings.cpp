// POST /v1/embeddings: https://platform.openai.com/docs/api-reference/embeddings
//
// The embedding of a text is the mean of the hidden states of its tokens after the last norm, scaled to length 1. The
// models of the family were not trained for it: texts that are alike are near, but a model for embeddings does better.
#include <array>
#include <cmath>
#include <cstring>
#include <mutex>

#include "base/xxh64.h"
#include "server/api/request_context.h"
#include "server/api/routes.h"
#include "server/prompt.h"

namespace fathom::server {
namespace {

using Type = Parameter::Type;

constexpr std::array kEmbeddings = {
    Parameter{"model", Type::text},
    Parameter{"input", Type::any, 0, 0, "a text, token ids, or an array of either", kPromptsForm},
    Parameter{"encoding_format", Type::text, 0, 0, "float or base64"},
    Parameter{"dimensions", Type::integer, 1, 1 << 20, "those of the model alone"},
    Parameter{"user", Type::ignored},
};

std::string base64(std::string_view bytes) {
  static constexpr char kAlphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  for (size_t i = 0; i < bytes.size(); i += 3) {
    uint32_t word = 0;
    for (size_t k = 0; k < 3; ++k)
      word = word << 8 | (i + k < bytes.size() ? static_cast<unsigned char>(bytes[i + k]) : 0u);
    for (size_t k = 0; k < 4; ++k) out += i + k > bytes.size() ? '=' : kAlphabet[word >> (18 - 6 * k) & 63];
  }
  return out;
}

json::value embedding_json(std::span<const double> state, bool as_base64) {
  double length = 0;
  for (const double x : state) length += x * x;
  length = length > 0 ? std::sqrt(length) : 1;
  std::vector<float> unit;
  for (const double x : state) unit.push_back(static_cast<float>(x / length));
  if (as_base64) return json::string(base64({reinterpret_cast<const char*>(unit.data()), unit.size() * sizeof(float)}));
  json::array out;
  for (const float x : unit) out.push_back(x);
  return out;
}

// All texts of one request; their events come on the engine's thread.
struct EmbeddingRun {
  EmbeddingRun(ServedModel& m, ModelMetrics& told, std::shared_ptr<http::Exchange> e, size_t n, bool as_base64)
      : model(m), metrics(told), exchange(std::move(e)), embeddings(n), is_base64(as_base64) {}
  ServedModel& model;
  ModelMetrics& metrics;
  std::shared_ptr<http::Exchange> exchange;
  std::vector<json::value> embeddings;
  std::vector<EngineThread::Ticket> tickets;
  bool is_base64, has_failed = false;
  size_t n_ended = 0;
  int64_t n_tokens = 0;

  void cancel_all() const {
    for (const EngineThread::Ticket t : tickets) model.engine().cancel(t);
  }
  // Memory that is missing for an answer leaves nothing but to let go of it.
  void ended(const Ended& e) noexcept {
    try {
      take_end(e);
    } catch (...) {
      has_failed = true;
      exchange.reset();
    }
  }

 private:
  void take_end(const Ended& e) {
    metrics.request_ended(e);
    n_tokens += e.n_prompt;
    ++n_ended;
    if (e.reason != EndReason::length && !std::exchange(has_failed, true)) {
      exchange->reply(http::error_reply({.status = e.error && e.error->kind() != ErrorKind::resource ? 500 : 503,
                                         .message = e.error ? e.error->what() : "the request was cancelled"}));
      cancel_all();
    }
    if (n_ended == embeddings.size() && !has_failed) reply();
  }
  void reply() {
    json::array data;
    for (size_t i = 0; i < embeddings.size(); ++i)
      data.push_back({{"object", "embedding"}, {"index", i}, {"embedding", std::move(embeddings[i])}});
    exchange->reply(
        {.body = json::serialize(json::object{{"object", "list"},
                                              {"data", std::move(data)},
                                              {"model", model.name()},
                                              {"usage", {{"prompt_tokens", n_tokens}, {"total_tokens", n_tokens}}}})});
  }
};

}  // namespace

ParameterLists embedding_parameters() { return {kEmbeddings}; }

void embeddings(const ServiceContext& service, const http::Request& request,
                const std::shared_ptr<http::Exchange>& exchange) {
  const Parameters p(request.body, embedding_parameters());
  const RequestContext c = request_context(service, p);
  ServedModel& model = c.model;
  const std::string format = p.text("encoding_format").value_or("float");
  if (format != "float" && format != "base64")
    refuse("encoding_format", "encoding_format is {}; it is float or base64", quoted_for_message(format, 40));
  if (const auto d = p.integer("dimensions"); d && *d != model.config().hidden_size)
    refuse("dimensions", "dimensions is {}; the model's embeddings have {}", *d, model.config().hidden_size);
  if (!p.has("input")) refuse("input", "input is missing");
  const std::vector<std::vector<int32_t>> prompts = completion_prompts(model, *p.find("input"));
  check_prompts(model, prompts);
  auto run = std::make_shared<EmbeddingRun>(model, c.metrics, exchange, prompts.size(), format == "base64");
  std::vector<ScheduledRequest> requests;
  for (size_t i = 0; i < prompts.size(); ++i) {
    ScheduledRequest r;
    r.prompt = prompts[i];
    r.generate.n_usable_ids = model.usable_ids();
    r.salt = r.owner = xxh64(request.key_name, c.salt_secret);
    r.events.on_mean_state = [run, i](std::span<const double> state) {
      run->embeddings[i] = embedding_json(state, run->is_base64);
    };
    r.events.on_end = [run](const Ended& e) { run->ended(e); };
    requests.push_back(std::move(r));
  }
  std::function<void()> on_gone = [run] { run->cancel_all(); };  // now, when a failure ends the request
  const auto submitted = model.engine().submit(std::move(requests), run->tickets);
  if (submitted != EngineThread::Submitted::yes) throw_not_taken(submitted, model);
  exchange->on_gone(std::move(on_gone));
}

}  // namespace fathom::server
