#include "server/engine_thread.h"

#include <utility>

#include "kernels/peak.h"

namespace fathom::server {
namespace {

int64_t now_ns() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

// Of a request that the scheduler never had.
void end_with(const RequestEvents& events, int64_t n_prompt, EndReason reason, std::optional<Error> error) {
  if (!events.on_end) return;
  Ended ended{.reason = reason, .error = std::move(error)};
  ended.n_prompt = n_prompt;
  events.on_end(ended);
}

}  // namespace

// In the order that they need each other. Made, used and destroyed by the engine's thread (ThreadPool).
struct EngineThread::Running {
  Running(const Model& model, const EngineThreadOptions& o, SchedulerOptions scheduler_options)
      : pool(o.threads, o.numa),
        loaded(pool, model, o.engine),
        scheduler(loaded.engine, std::move(scheduler_options)) {}

  ThreadPool pool;
  LoadedEngine loaded;
  Scheduler scheduler;
};

EngineThread::EngineThread(const Model& model, EngineThreadOptions options)
    : model_(model), options_(std::move(options)), thread_([this] { run(); }) {}

EngineThread::~EngineThread() {
  drain(std::chrono::milliseconds(0));
  join();
}

EngineThread::Submitted EngineThread::submit(std::vector<ScheduledRequest> requests, std::vector<Ticket>& tickets) {
  int64_t tokens = 0;
  for (const ScheduledRequest& r : requests) tokens += std::ssize(r.prompt);
  const std::lock_guard lock(mutex_);
  if (draining_) return Submitted::stopping;
  if (snapshot_.state == EngineState::failed) return Submitted::failed;
  const SchedulerOptions& limits = options_.scheduler;
  const int64_t waiting = snapshot_.queued + std::ssize(posts_);
  const int64_t free_slots =  // what is taken out of the queue at once does not wait
      snapshot_.queued == 0 ? std::max<int64_t>(0, limits.max_running - snapshot_.running) : 0;
  if (waiting + std::ssize(requests) > limits.max_queued + free_slots) return Submitted::queue_full;
  if (waiting > 0 && snapshot_.queued_tokens + posted_tokens_ + tokens > limits.max_queued_tokens)
    return Submitted::queue_full;
  posted_tokens_ += tokens;
  for (ScheduledRequest& r : requests) {
    tickets.push_back(next_ticket_);
    posts_.push_back({next_ticket_++, std::move(r)});
  }
  wake_.notify_all();
  return Submitted::yes;
}

void EngineThread::load() {
  const std::lock_guard lock(mutex_);
  load_wanted_ = true;
  wake_.notify_all();
}

void EngineThread::cancel(Ticket ticket) {
  const std::lock_guard lock(mutex_);
  cancels_.push_back(ticket);
  has_cancels_ = true;
  wake_.notify_all();
}

EngineSnapshot EngineThread::snapshot() const {
  const std::lock_guard lock(mutex_);
  EngineSnapshot s = snapshot_;
  s.queued += std::ssize(posts_);
  s.queued_tokens += posted_tokens_;
  return s;
}

double EngineThread::seconds_without_progress() const noexcept {
  const int64_t at = progress_at_ns_.load(std::memory_order_relaxed);
  return at == 0 ? 0 : static_cast<double>(now_ns() - at) * 1e-9;
}

void EngineThread::mark_progress() noexcept { progress_at_ns_.store(now_ns(), std::memory_order_relaxed); }

void EngineThread::drain(std::chrono::milliseconds patience) {
  const std::lock_guard lock(mutex_);
  draining_ = true;
  drain_until_ = std::min(drain_until_, std::chrono::steady_clock::now() + patience);
  wake_.notify_all();
}

void EngineThread::join() {
  if (thread_.joinable()) thread_.join();
}

void EngineThread::publish(const Running* running, EngineState state) {
  const std::lock_guard lock(mutex_);
  snapshot_.state = state;
  snapshot_.running = snapshot_.queued = snapshot_.queued_tokens = snapshot_.cache_tokens_in_use = 0;
  if (running == nullptr) return;
  const Scheduler& s = running->scheduler;
  snapshot_.running = s.n_running();
  snapshot_.queued = s.n_queued();
  snapshot_.queued_tokens = s.queued_tokens();
  snapshot_.cache_tokens = s.cache_tokens();
  snapshot_.cache_tokens_in_use = s.cache_tokens_in_use();
  snapshot_.counts = s.counts();
  snapshot_.prefixes = s.prefix_counts();
}

void EngineThread::run() {
  bool wanted = options_.load_at_once;
  for (;;) {
    if (!wanted && !wait_for_work()) break;
    load_and_serve();
    wanted = false;
    const std::lock_guard lock(mutex_);
    if (draining_ && posts_.empty()) break;
  }
  end_all_posts(Error(ErrorKind::resource, "the server is stopping"));
  publish(nullptr, EngineState::stopped);
}

// false: there will be none.
bool EngineThread::wait_for_work() {
  std::unique_lock lock(mutex_);
  progress_at_ns_ = 0;
  wake_.wait(lock, [&] { return draining_ || load_wanted_ || !posts_.empty(); });
  const bool wanted = load_wanted_ && !draining_;
  load_wanted_ = false;
  return wanted || !posts_.empty();
}

void EngineThread::load_and_serve() {
  publish(nullptr, EngineState::loading);
  const double start = clock_seconds();
  std::unique_ptr<Running> running;
  SchedulerOptions scheduler = options_.scheduler;
  scheduler.max_queued = scheduler.max_queued_tokens = INT64_MAX;  // submit() has kept the bounds
  scheduler.poll = [&] {
    mark_progress();
    if (has_cancels_.load(std::memory_order_relaxed)) take_cancels(*running);
  };
  try {
    running = std::make_unique<Running>(model_, options_, std::move(scheduler));
  } catch (const Error& e) {
    {
      const std::lock_guard lock(mutex_);
      snapshot_.error = e.what();
    }
    publish(nullptr, EngineState::failed);
    end_all_posts(e);
    if (options_.log) options_.log(e.what());
    return;
  }
  {
    const std::lock_guard lock(mutex_);
    snapshot_.load_seconds = clock_seconds() - start;
  }
  publish(running.get(), EngineState::ready);
  if (options_.log) options_.log(fmt::format("the model is ready after {:.1f} s", clock_seconds() - start));
  serve(*running);
  publish(nullptr, EngineState::unloaded);
  ids_.clear();
}

// Until it drains, or has been idle for long.
void EngineThread::serve(Running& running) {
  auto idle_since = std::chrono::steady_clock::now();
  for (;;) {
    take_posts(running);
    take_cancels(running);
    if (running.scheduler.has_work()) {
      mark_progress();
      StepReport report;
      try {
        report = running.scheduler.step();
      } catch (const std::exception& e) {  // a defect of ours: what was running is lost, the server is not
        if (options_.log) options_.log(fmt::format("a step failed: {}", e.what()));
        running.scheduler.end_all(EndReason::error, Error(ErrorKind::resource, "the step failed"));
      }
      publish(&running, EngineState::ready);
      if (options_.on_step) options_.on_step(report);
      idle_since = std::chrono::steady_clock::now();
    }
    std::unique_lock lock(mutex_);
    const auto now = std::chrono::steady_clock::now();
    if (draining_ && now >= drain_until_) {
      for (const auto& [ticket, id] : ids_) cancels_.push_back(ticket);
      has_cancels_ = true;
    }
    if (running.scheduler.has_work() || !posts_.empty()) continue;
    if (draining_) return;
    progress_at_ns_ = 0;
    const auto ready = [&] { return draining_ || !posts_.empty(); };
    if (options_.unload_after.count() == 0) {
      wake_.wait(lock, ready);
    } else if (!wake_.wait_until(lock, idle_since + options_.unload_after, ready)) {
      lock.unlock();
      if (options_.log) options_.log("the model is unloaded: it was idle");
      return;
    }
  }
}

void EngineThread::take_posts(Running& running) {
  std::vector<Posted> posts;
  {
    const std::lock_guard lock(mutex_);
    posts.swap(posts_);
    // Until they are published they count as queued, so that the queue's bounds hold at every moment.
    snapshot_.queued += std::ssize(posts);
    snapshot_.queued_tokens += std::exchange(posted_tokens_, 0);
  }
  for (Posted& post : posts) {
    auto on_end = std::move(post.request.events.on_end);
    post.request.events.on_end = [this, ticket = post.ticket, on_end](const Ended& ended) {
      ids_.erase(ticket);
      if (on_end) on_end(ended);
    };
    ScheduledRequest request = std::move(post.request);
    const RequestEvents events = request.events;
    const int64_t n_prompt = std::ssize(request.prompt);
    try {
      ids_.emplace(post.ticket, running.scheduler.submit(std::move(request)));
    } catch (const Error& e) {
      end_with(events, n_prompt, EndReason::error, e);
    }
  }
  if (!posts.empty()) publish(&running, EngineState::ready);
}

void EngineThread::take_cancels(Running& running) {
  std::vector<Ticket> cancels;
  {
    const std::lock_guard lock(mutex_);
    cancels.swap(cancels_);
    has_cancels_ = false;
  }
  for (const Ticket ticket : cancels)
    if (const auto found = ids_.find(ticket); found != ids_.end()) running.scheduler.cancel(found->second);
  // One that is still posted is cancelled before it is queued.
  std::vector<Posted> dropped;
  {
    const std::lock_guard lock(mutex_);
    for (const Ticket ticket : cancels) {
      const auto at = std::find_if(posts_.begin(), posts_.end(), [&](const Posted& p) { return p.ticket == ticket; });
      if (at == posts_.end()) continue;
      posted_tokens_ -= std::ssize(at->request.prompt);
      dropped.push_back(std::move(*at));
      posts_.erase(at);
    }
  }
  for (Posted& post : dropped) end_with(post.request.events, std::ssize(post.request.prompt), EndReason::cancelled, {});
}

void EngineThread::end_all_posts(const Error& error) {
  std::vector<Posted> posts;
  {
    const std::lock_guard lock(mutex_);
    posts.swap(posts_);
    posted_tokens_ = 0;
  }
  for (Posted& post : posts) end_with(post.request.events, std::ssize(post.request.prompt), EndReason::error, error);
}

}  // namespace fathom::server
