#include "server/api/request_context.h"

#include <array>
#include <random>

#include "kernels/peak.h"
#include "server/api/sampling_parameters.h"

namespace fathom::server {
namespace {

using Type = Parameter::Type;

constexpr std::array kGeneration = {
    Parameter{"model", Type::text},
    Parameter{"n", Type::integer, 1, kMostChoices, "answers"},
    Parameter{"stream", Type::boolean},
    Parameter{"stream_options", Type::object, 0, 0, "include_usage, include_obfuscation"},
    Parameter{"stop", Type::any, 0, 0, "a text, or up to 16: the answer ends before it", kTextsForm},
    Parameter{"ignore_eos", Type::boolean, 0, 0, "go on after an end-of-text token"},
    Parameter{"timeout", Type::number, 0.001, 1e6, "seconds; 504 after them"},
    Parameter{"priority", Type::integer, -1000, 1000, "higher ones are admitted first"},
    Parameter{"return_progress", Type::boolean, 0, 0, "chunks with prompt_progress while the prompt is read"},
    Parameter{"user", Type::ignored},
    Parameter{"metadata", Type::ignored},
    Parameter{"store", Type::ignored},
    Parameter{"service_tier", Type::ignored},
    Parameter{"safety_identifier", Type::ignored},
    Parameter{"prompt_cache_key", Type::ignored},
    Parameter{"prompt_cache_retention", Type::ignored},
    Parameter{"prediction", Type::ignored},
    Parameter{"cache_prompt", Type::ignored},
};

}  // namespace

std::span<const Parameter> generation_parameters() { return kGeneration; }

ServedModel& model_named(const ServiceContext& service, std::string_view name) {
  if (name.empty()) return service.models.first();
  if (ServedModel* found = service.models.find(name)) return *found;
  throw ApiError({.status = 404,
                  .message = fmt::format("there is no model {}; this server has {}", quoted_for_message(name, 80),
                                         service.models.names()),
                  .param = "model",
                  .code = "model_not_found"});
}

namespace {

RequestContext context_of(const ServiceContext& service, std::string_view name) {
  ServedModel& model = model_named(service, name);
  return {model, service.metrics.of(model.name()), service.limits, service.salt_secret};
}

}  // namespace

RequestContext request_context(const ServiceContext& service, const Parameters& p) {
  return context_of(service, p.text("model").value_or(""));
}

RequestContext request_context(const ServiceContext& service, const http::Request& request) {
  const std::string* name = request.query_parameter("model");
  return context_of(service, name != nullptr ? *name : "");
}

std::string new_id(std::string_view prefix) {
  thread_local std::mt19937_64 random{std::random_device{}()};
  return fmt::format("{}{:016x}{:08x}", prefix, random(), static_cast<uint32_t>(random()));
}

int64_t unix_seconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch()).count();
}

void apply_generation_parameters(const RequestContext& c, const Parameters& p, GenerationSpec& spec) {
  const ServedModel& model = c.model;
  spec.n = p.integer("n").value_or(1);
  if (spec.n * std::max<int64_t>(1, std::ssize(spec.prompts)) > c.limits.most_choices && spec.n > 1)
    refuse("n", "n is {}; this server gives at most {} answers to a request", spec.n, c.limits.most_choices);
  spec.stops = p.texts("stop", kMostStops);
  for (const std::string& stop : spec.stops)
    if (stop.empty()) refuse("stop", "a stop text is empty");
  GenerateRequest& g = spec.request.generate;
  g.sampling = sampling_of(p, model.sampling(), model.usable_ids());
  g.n_usable_ids = model.usable_ids();
  if (!p.boolean("ignore_eos").value_or(false)) g.stop_ids = model.stop_ids();
  spec.request.priority = static_cast<int32_t>(p.integer("priority").value_or(0));
  const double timeout = p.number("timeout").value_or(c.limits.timeout_seconds);
  if (timeout > 0) spec.request.deadline = clock_seconds() + timeout;
}

json::object usage_json(const Usage& u) {
  return {{"prompt_tokens", u.prompt_tokens},
          {"completion_tokens", u.completion_tokens},
          {"total_tokens", u.prompt_tokens + u.completion_tokens},
          {"prompt_tokens_details", {{"cached_tokens", u.cached_tokens}}}};
}

json::object timings_json(const Ended& e, const EngineSnapshot& engine) {
  const RequestTimes& t = e.times;
  const double first = t.first_token > 0 ? t.first_token : t.ended;
  return {{"prompt_tokens", e.n_prompt},
          {"cached_tokens", e.n_cached},
          {"queue_seconds", std::max(0.0, t.admitted - t.submitted)},
          {"prompt_seconds", std::max(0.0, first - t.admitted)},
          {"generated_tokens", e.n_generated},
          {"generated_seconds", std::max(0.0, t.ended - first)},
          {"kv_cache_tokens", engine.cache_tokens_in_use},
          {"kv_cache_capacity", engine.cache_tokens}};
}

}  // namespace fathom::server
