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

Ended generate(Scheduler& scheduler, ScheduledRequest request, const std::function<bool(int64_t n_read)>& goes_on) {
  std::optional<Ended> ended;
  request.events.on_end = [&, on_end = std::move(request.events.on_end)](const Ended& e) {
    ended = e;
    if (on_end) on_end(e);
  };
  const RequestId id = scheduler.submit(std::move(request));
  std::function<void()> before;
  if (goes_on)
    before = scheduler.exchange_poll([&] {
      if (before) before();
      if (!goes_on(scheduler.n_read(id))) scheduler.cancel(id);
    });
  while (!ended) scheduler.step();
  if (goes_on) scheduler.exchange_poll(std::move(before));
  return *ended;
}

}  // namespace fathom
