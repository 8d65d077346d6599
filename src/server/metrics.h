// What Prometheus is told, in its text form. Names, units and help stand here once; docs/serving.md has them in a
// table.
#pragma once
#include <memory>
#include <string>
#include <string_view>

#include "engine/scheduler/scheduler.h"
#include "http/server.h"
#include "server/engine_thread.h"

namespace fathom::server {

// Thread-safe.
class Metrics {
 public:
  Metrics();
  ~Metrics();
  void request_ended(const Ended& ended) noexcept;
  void token_interval(double seconds) noexcept;
  void request_rejected(std::string_view reason) noexcept;
  void step(const StepReport& report) noexcept;
  // The text for one scrape.
  std::string text(const std::string& model, const EngineSnapshot& engine, const http::ServerCounts& http) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace fathom::server
