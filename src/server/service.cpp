#include "server/service.h"

#include <random>

#include "http/server.h"
#include "server/api/api_error.h"
#include "web_page/page_files.h"

namespace fathom::server {
namespace {

using http::Access;
using Route = void (*)(const ServiceContext&, const http::Request&, const std::shared_ptr<http::Exchange>&);

uint64_t random_secret() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

// What a handler throws, as an answer.
http::Handler answering(const ServiceContext& context, Route route) {
  const bool is_anthropic = route == messages || route == count_message_tokens;
  return [&context, route, form = is_anthropic ? anthropic_error : http::openai_error](
             const http::Request& request, const std::shared_ptr<http::Exchange>& exchange) {
    try {
      route(context, request, exchange);
    } catch (const ApiError& e) {
      context.metrics.request_rejected(e.info().status == 429   ? "queue_full"
                                       : e.info().status == 503 ? "shutting_down"
                                                                : "invalid");
      http::Reply reply = http::error_reply(e.info(), form);
      if (e.info().status == 429 || e.info().status == 503) reply.headers.emplace_back("Retry-After", "1");
      exchange->reply(std::move(reply));
    } catch (const Error& e) {
      context.metrics.request_rejected("invalid");
      exchange->reply(http::error_reply({.status = 400, .message = e.what()}, form));
    }
  };
}

std::string json_state(const char* state, const std::string& reason = {}) {
  json::object out{{"status", state}};
  if (!reason.empty()) out["reason"] = reason;
  return json::serialize(out);
}

}  // namespace

Service::Service(Model model, ServiceOptions options) : options_(std::move(options)), log_(options_.log) {
  EngineThreadOptions& engine = options_.model.engine;
  engine.on_step = [this](const StepReport& report) { metrics_.step(report); };
  engine.log = [log = log_](const std::string& sentence) { log.line(http::LogLevel::info, sentence); };
  const bool load_at_once = std::exchange(engine.load_at_once, false);
  // The port is taken before the model is loaded: who cannot have it is told at once.
  model_ = std::make_unique<ServedModel>(std::move(model), options_.model);
  context_ = std::make_unique<ServiceContext>(ServiceContext{*model_, metrics_, options_.limits, random_secret()});
  server_ = std::make_unique<http::Server>(options_.http, routes(), log_);
  if (load_at_once) model_->engine().load();
}

Service::~Service() { stop(); }

std::string Service::address() const { return server_->address(); }

void Service::start() { server_->start(); }

void Service::drain() {
  draining_ = true;
  server_->drain();
  model_->engine().drain(options_.drain_time);
}

void Service::stop() {
  draining_ = true;
  model_->engine().drain(std::chrono::milliseconds(0));
  model_->engine().join();
  server_->stop();
}

http::Router Service::routes() {
  http::Router router;
  const auto add = [&](const char* method, const char* pattern, Route route) {
    router.add(method, pattern, Access::key, answering(*context_, route));
  };
  add("POST", "/v1/chat/completions", chat_completions);
  add("POST", "/v1/completions", completions);
  add("POST", "/v1/embeddings", embeddings);
  add("POST", "/v1/responses", responses);
  add("POST", "/v1/messages", messages);
  add("POST", "/v1/messages/count_tokens", count_message_tokens);
  router.add_error_form("/v1/messages", anthropic_error);
  add("GET", "/v1/models", list_models);
  add("GET", "/v1/models/{id*}", show_model);
  add("POST", "/tokenize", tokenize);
  add("POST", "/detokenize", detokenize);
  add("GET", "/tokenizer_info", tokenizer_info);
  add("POST", "/apply-template", apply_template);
  add("GET", "/props", show_properties);
  add_health(router);
  add_page(router);
  return router;
}

void Service::add_health(http::Router& router) {
  router.add("GET", "/live", Access::open, [](const http::Request&, const std::shared_ptr<http::Exchange>& exchange) {
    exchange->reply({.body = json_state("ok")});
  });
  for (const char* path : {"/ready", "/health"})
    router.add(
        "GET", path, Access::open,
        [this](const http::Request&, const std::shared_ptr<http::Exchange>& exchange) { exchange->reply(ready()); });
  router.add("GET", "/metrics", Access::key,
             [this](const http::Request&, const std::shared_ptr<http::Exchange>& exchange) {
               exchange->reply({.content_type = "text/plain; version=0.0.4; charset=utf-8",
                                .body = metrics_.text(model_->name(), model_->engine().snapshot(), server_->counts())});
             });
}

// Open to all, key or not: a browser sends none before the page is there, and the page says nothing of this server.
void Service::add_page(http::Router& router) {
  const auto add = [&](const std::string& path, const PageFile& file) {
    router.add(
        "GET", path, Access::open,
        [&file](const http::Request& request, const std::shared_ptr<http::Exchange>& exchange) {
          http::Headers headers{{"ETag", std::string(file.etag)}, {"Cache-Control", std::string(file.cache_control)}};
          for (const PageHeader& h : kPageHeaders) headers.emplace_back(h.name, h.value);
          if (request.header("if-none-match") == file.etag)
            return exchange->reply({.status = 304, .content_type = "", .headers = std::move(headers)});
          exchange->reply({.content_type = std::string(file.content_type),
                           .headers = std::move(headers),
                           .body = std::string(file.bytes)});
        });
  };
  for (const PageFile& file : page_files()) {
    add(std::string(file.path), file);
    if (file.path == "/index.html") add("/", file);
  }
}

http::Reply Service::ready() const {
  const EngineSnapshot e = model_->engine().snapshot();
  const auto not_ready = [](const std::string& reason) {
    return http::Reply{.status = 503, .headers = {{"Retry-After", "1"}}, .body = json_state("unavailable", reason)};
  };
  if (draining_) return not_ready("the server is stopping");
  if (e.state == EngineState::loading) return not_ready("the model is loading");
  if (e.state == EngineState::failed) return not_ready("the model could not be loaded");
  const double stuck = model_->engine().seconds_without_progress();
  if (stuck > static_cast<double>(options_.watchdog.count()))
    return not_ready(fmt::format("the engine has made no progress for {:.0f} s", stuck));
  return {.body = json_state("ok")};
}

}  // namespace fathom::server
