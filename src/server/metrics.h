// What Prometheus is told, in its text form. Names, units and help stand here once; docs/serving.md has them in a
// table.
#pragma once
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/scheduler/scheduler.h"
#include "http/server.h"
#include "server/engine_thread.h"

namespace fathom::server {

// Of one model, whose name is the label `model`. Thread-safe.
class ModelMetrics {
 public:
  ~ModelMetrics();
  ModelMetrics(ModelMetrics&& other) noexcept;
  void request_ended(const Ended& ended) noexcept;
  void token_interval(double seconds) noexcept;
  void step(const SchedulerStep& report) noexcept;

 private:
  friend class Metrics;
  struct Impl;
  explicit ModelMetrics(std::unique_ptr<Impl> impl);
  std::unique_ptr<Impl> impl_;
};

struct ModelFigures {
  std::string name;
  EngineSnapshot engine;
};

// Thread-safe once it is made.
class Metrics {
 public:
  explicit Metrics(const std::vector<std::string>& models);
  ~Metrics();
  ModelMetrics& of(const std::string& model) const;  // one of these
  void request_rejected(std::string_view reason) noexcept;
  // The text for one scrape.
  std::string text(const std::vector<ModelFigures>& models, const http::ServerCounts& http) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fathom::server
