#include "engine/generation.h"

#include <limits>
#include <optional>
#include <utility>

namespace fathom {

SchedulerOptions offline_options(int64_t max_running) {
  SchedulerOptions o;
  o.max_running = max_running;
  o.max_queued = o.max_queued_tokens = std::numeric_limits<int64_t>::max();
  o.stretch = std::numeric_limits<double>::infinity();
  o.passage_tokens = kChunkTokens;
  return o;
}

Ended generate(Scheduler& scheduler, ScheduledRequest request) {
  std::optional<Ended> ended;
  request.events.on_end = [&, on_end = std::move(request.events.on_end)](const Ended& e) {
    if (on_end) on_end(e);
    ended = e;
  };
  scheduler.submit(std::move(request));
  while (!ended) scheduler.step();
  return *ended;
}

}  // namespace fathom
