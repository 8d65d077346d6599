#include "server/service.h"

#include <algorithm>
#include <random>

#include "http/server.h"
#include "server/api/api_error.h"
#include "server/api/routes.h"
#include "web_page/page_files.h"

namespace fathom::server {
namespace {

using http::Access;

uint64_t random_secret() {
  std::random_device device;
  return uint64_t{device()} << 32 | device();
}

// What a handler throws, as an answer.
http::Handler answering(const ServiceContext& context, const ApiRoute& route) {
  const bool is_anthropic = route.failure == "AnthropicError";
  return [&context, handler = route.handler, form = is_anthropic ? anthropic_error : http::openai_error](
             const http::Request& request, const std::shared_ptr<http::Exchange>& exchange) {
    try {
      handler(context, request, exchange);
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

std::vector<std::string> names_of(const std::vector<NamedModel>& models) {
  std::vector<std::string> names;
  for (const NamedModel& m : models) names.push_back(m.name);
  return names;
}

std::string json_state(const char* state, const std::string& reason = {}) {
  json::object out{{"status", state}};
  if (!reason.empty()) out["reason"] = reason;
  return json::serialize(out);
}

}  // namespace

Service::Service(std::vector<NamedModel> models, ServiceOptions options)
    : options_(std::move(options)), log_(options_.log), metrics_(names_of(models)) {
  const auto on_step = [this](size_t model, const SchedulerStep& report) {
    metrics_.of((*models_)[model].name()).step(report);
  };
  const auto log = [this, log = log_](size_t model, const std::string& sentence) {
    log.line(http::LogLevel::info, sentence, {{"model", (*models_)[model].name()}});
  };
  const bool load_at_once = options_.model.engine.load_at_once;
  // The port is taken before a model is loaded: who cannot have it is told at once.
  models_ = std::make_unique<ServedModels>(std::move(models), options_.model, options_.model_memory, on_step, log);
  context_ = std::make_unique<ServiceContext>(ServiceContext{*models_, metrics_, options_.limits, random_secret()});
  server_ = std::make_unique<http::Server>(options_.http, routes(), log_);
  if (load_at_once) models_->load_all();
}

Service::~Service() { stop(); }

std::string Service::address() const { return server_->address(); }

void Service::start() { server_->start(); }

void Service::drain() {
  draining_ = true;
  server_->drain();
  models_->drain(options_.drain_time);
}

void Service::stop() {
  draining_ = true;
  models_->drain(std::chrono::milliseconds(0));
  models_->join();
  server_->stop();
}

http::Router Service::routes() {
  http::Router router;
  for (const ApiRoute& route : api_routes())
    if (route.handler != nullptr)
      router.add(std::string(route.method), std::string(route.pattern), route.access, answering(*context_, route));
  router.add_error_form("/v1/messages", anthropic_error);
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
               exchange->reply({.content_type = "text/plain; version=0.0.4; charset=utf-8", .body = metrics_text()});
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
  const std::string reason = why_not_ready();
  if (reason.empty()) return {.body = json_state("ok")};
  return {.status = 503, .headers = {{"Retry-After", "1"}}, .body = json_state("unavailable", reason)};
}

std::string Service::why_not_ready() const {
  if (draining_) return "the server is stopping";
  std::string reason;
  size_t n_unable = 0;
  for (size_t i = 0; i < models_->size(); ++i) {
    const EngineThread& engine = (*models_)[i].engine();
    const EngineState state = engine.snapshot().state;
    const double stuck = engine.seconds_without_progress();
    if (stuck > std::chrono::duration<double>(options_.watchdog).count())
      return fmt::format("the engine of {} has made no progress for {:.0f} s", (*models_)[i].name(), stuck);
    if (state == EngineState::failed || state == EngineState::loading) {
      ++n_unable;
      reason = (*models_)[i].name() + (state == EngineState::loading ? " is loading" : " could not be loaded");
    }
  }
  return n_unable == models_->size() ? reason : "";
}

double Service::seconds_without_progress() const {
  double longest = 0;
  for (size_t i = 0; i < models_->size(); ++i)
    longest = std::max(longest, (*models_)[i].engine().seconds_without_progress());
  return longest;
}

std::string Service::metrics_text() const {
  std::vector<ModelFigures> figures;
  for (size_t i = 0; i < models_->size(); ++i)
    figures.push_back({(*models_)[i].name(), (*models_)[i].engine_snapshot()});
  return metrics_.text(figures, server_->counts());
}

}  // namespace fathom::server
