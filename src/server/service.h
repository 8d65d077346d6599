// The whole service: models, their routes, and what keeps them alive and in sight.
//
//   GET  /live        200 while the process is
//   GET  /ready       200 when requests can be answered: every engine made progress, or was idle, within the watchdog's
//                     time, and not all models are loading or could not be loaded; 503 with the reason otherwise.
//                     Neither waits for anything that computes. /health is as /ready.
//   GET  /metrics     Prometheus
//   /v1/...           OpenAI's API (docs/serving.md); /tokenize, /detokenize, /tokenizer_info, /apply-template, /props
#pragma once
#include <atomic>
#include <chrono>
#include <csignal>
#include <memory>
#include <string>

#include "http/log.h"
#include "http/options.h"
#include "http/router.h"
#include "server/api/request_context.h"
#include "server/served_models.h"
#include "server/service_manager.h"

namespace fathom::http {
class Server;
}

namespace fathom::server {

struct ServiceOptions {
  http::Options http;
  http::LogOptions log;
  ServedModelOptions model;  // of each; its name is set here, and load_at_once is of all
  double model_memory = 0;   // bytes that loaded models may take together; 0: what is free
  ServiceLimits limits;
  std::chrono::milliseconds watchdog{300'000};  // without progress: not ready
  std::chrono::milliseconds drain_time{30000};  // for requests under way when the server stops
};

// SIGTERM, SIGINT and SIGHUP, blocked in this thread and in those that it starts from here on: they come to wait()
// alone. Made before the Service, whose threads inherit that.
class ServiceSignals {
 public:
  ServiceSignals();
  ~ServiceSignals();
  ServiceSignals(const ServiceSignals&) = delete;
  ServiceSignals& operator=(const ServiceSignals&) = delete;
  // The signal that came within that time; 0: none.
  int wait(std::chrono::microseconds time) const;

 private:
  sigset_t set_, before_;
};

class Service {
 public:
  // Opens models and port; errors of either come before anything is loaded. As of ServedModels.
  Service(std::vector<NamedModel> models, ServiceOptions options);
  ~Service();

  std::string address() const;
  void start();
  // Serves until a signal: SIGTERM or SIGINT drains, a second one ends at once; SIGHUP opens the log's file and reads
  // keys and certificates again. Returns the signal. The manager hears of all that, of READY=1 when the models that are
  // loaded at once have been; and, twice in the time of its watchdog, that the service is alive: unless an engine has
  // made no progress for half of that time.
  int run_until_signal(const ServiceSignals& signals, const ServiceManager& manager = {});
  void drain();
  void stop();

  ServedModels& models() noexcept { return *models_; }
  const http::Server& http() const noexcept { return *server_; }

 private:
  class Report;
  http::Router routes();
  void add_health(http::Router& router);
  static void add_page(http::Router& router);
  http::Reply ready() const;
  std::string why_not_ready() const;  // empty: it is
  std::string metrics_text() const;
  double seconds_without_progress() const;  // of the engine that has made none for longest
  void reload();

  ServiceOptions options_;
  http::Log log_;
  Metrics metrics_;
  std::unique_ptr<ServedModels> models_;
  std::unique_ptr<ServiceContext> context_;
  std::atomic<bool> draining_ = false;
  std::unique_ptr<http::Server> server_;
};

}  // namespace fathom::server
