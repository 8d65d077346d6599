// What the handlers of all routes share.
#pragma once
#include <chrono>
#include <functional>
#include <memory>
#include <string>

#include "server/api/parameters.h"
#include "server/generation.h"
#include "server/metrics.h"
#include "server/served_models.h"

namespace fathom::server {

struct ServiceLimits {
  int64_t most_choices = 16;                    // n, and prompts times n
  std::chrono::milliseconds keep_alive{15000};  // of streams, when nothing else is sent
  double timeout_seconds = 0;                   // of a request that names none; 0: none
};

struct ServiceContext {
  ServedModels& models;
  Metrics& metrics;
  ServiceLimits limits;
  uint64_t salt_secret = 0;
};

// The same for one request, whose model is known.
struct RequestContext {
  ServedModel& model;
  ModelMetrics& metrics;
  const ServiceLimits& limits;
  uint64_t salt_secret = 0;
};

// Of the model that a request names in its body, or as ?model= in its target. No name, or an empty one: the first. An
// ApiError 404, model_not_found, for a name that is none.
RequestContext request_context(const ServiceContext& service, const Parameters& parameters);
RequestContext request_context(const ServiceContext& service, const http::Request& request);
ServedModel& model_named(const ServiceContext& service, std::string_view name);

// new_id("chatcmpl-"): unique, 24 hexadecimal digits after the prefix.
std::string new_id(std::string_view prefix);
int64_t unix_seconds();

// max_tokens, n, stop, timeout and the like into a specification; what a request of every API has.
std::span<const Parameter> generation_parameters();
void apply_generation_parameters(const RequestContext& context, const Parameters& p, GenerationSpec& spec);

// Anthropic's form: {"type": "error", "error": {"type", "message"}}.
std::string anthropic_error(const http::ErrorInfo& error);

json::object usage_json(const Usage& usage);
json::object timings_json(const Ended& first, const EngineSnapshot& engine);

void chat_completions(const ServiceContext&, const http::Request&, const std::shared_ptr<http::Exchange>&);
void completions(const ServiceContext&, const http::Request&, const std::shared_ptr<http::Exchange>&);
void embeddings(const ServiceContext&, const http::Request&, const std::shared_ptr<http::Exchange>&);
void messages(const ServiceContext&, const http::Request&, const std::shared_ptr<http::Exchange>&);
void count_message_tokens(const ServiceContext&, const http::Request&, const std::shared_ptr<http::Exchange>&);
void responses(const ServiceContext&, const http::Request&, const std::shared_ptr<http::Exchange>&);
void list_models(const ServiceContext&, const http::Request&, const std::shared_ptr<http::Exchange>&);
void show_model(const ServiceContext&, const http::Request&, const std::shared_ptr<http::Exchange>&);
void tokenize(const ServiceContext&, const http::Request&, const std::shared_ptr<http::Exchange>&);
void detokenize(const ServiceContext&, const http::Request&, const std::shared_ptr<http::Exchange>&);
void tokenizer_info(const ServiceContext&, const http::Request&, const std::shared_ptr<http::Exchange>&);
void apply_template(const ServiceContext&, const http::Request&, const std::shared_ptr<http::Exchange>&);
void show_properties(const ServiceContext&, const http::Request&, const std::shared_ptr<http::Exchange>&);
void show_openapi(const ServiceContext&, const http::Request&, const std::shared_ptr<http::Exchange>&);

}  // namespace fathom::server
