// What happens on the engine's thread: the model is loaded, its requests run, and it is let go of.
#include <algorithm>
#include <utility>

#include "engine/speculation/prompt_lookup.h"
#include "kernels/peak.h"
#include "server/engine_thread.h"

namespace fathom::server {
namespace {

const Error kStepFailed(ErrorKind::resource, "the step failed"),
    kStopping(ErrorKind::resource, "the server is stopping");

// Of a request that the scheduler never had.
void end_with(const RequestEvents& events, int64_t n_prompt, EndReason reason, std::optional<Error> error) {
  if (!events.on_end) return;
  Ended ended{.reason = reason, .error = std::move(error)};
  ended.n_prompt = n_prompt;
  events.on_end(ended);
}

// One for each request, since it follows one sequence; what steps take is known to the scheduler.
std::shared_ptr<Speculator> prompt_lookup() {
  std::vector<std::unique_ptr<Proposer>> proposers;
  proposers.push_back(std::make_unique<PromptLookup>());
  return std::make_shared<Speculator>(std::move(proposers));
}

SchedulerCounts sum(SchedulerCounts a, const SchedulerCounts& b) {
  a.submitted += b.submitted;
  a.preempted += b.preempted;
  a.steps += b.steps;
  for (size_t i = 0; i < std::size(a.ended); ++i) a.ended[i] += b.ended[i];
  a.prompt_tokens += b.prompt_tokens;
  a.prompt_tokens_cached += b.prompt_tokens_cached;
  a.generated_tokens += b.generated_tokens;
  return a;
}

PrefixCounts sum(PrefixCounts a, const PrefixCounts& b) {
  a.queries += b.queries;
  a.tokens_asked += b.tokens_asked;
  a.tokens_found += b.tokens_found;
  a.blocks_evicted += b.blocks_evicted;
  return a;
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
    : model_(model), options_(std::move(options)), load_wanted_(options_.load_at_once), thread_([this] { run(); }) {}

EngineThread::~EngineThread() {
  drain(std::chrono::milliseconds(0));
  join();
}

template <class... Args>
void EngineThread::log(fmt::format_string<Args...> format, Args&&... args) const noexcept {
  try {
    if (options_.log) options_.log(fmt::format(format, std::forward<Args>(args)...));
  } catch (...) {  // there is no memory for the line
    return;
  }
}

void EngineThread::unloaded() const noexcept {
  if (options_.on_unloaded) options_.on_unloaded();
}

void EngineThread::publish(EngineState state) {
  const std::lock_guard lock(mutex_);
  snapshot_.state = state;
  snapshot_.running = snapshot_.queued = snapshot_.queued_tokens = snapshot_.cache_tokens_in_use = 0;
  if (!running_) return;
  const Scheduler& s = running_->scheduler;
  snapshot_.running = s.n_running();
  snapshot_.queued = s.n_queued();
  snapshot_.queued_tokens = s.queued_tokens();
  snapshot_.cache_tokens = s.cache_tokens();
  snapshot_.cache_tokens_in_use = s.cache_tokens_in_use();
  snapshot_.counts = sum(past_counts_, s.counts());
  snapshot_.prefixes = sum(past_prefixes_, s.prefix_counts());
}

void EngineThread::run() {
  while (wait_for_work()) load_and_serve();
  end_all_posts(kStopping);
  publish(EngineState::stopped);
}

// false: there will be none.
bool EngineThread::wait_for_work() {
  std::unique_lock lock(mutex_);
  progress_at_ns_ = 0;
  wake_.wait(lock, [&] { return draining_ || load_wanted_ || !posts_.empty(); });
  return !posts_.empty() || !draining_;
}

void EngineThread::load_and_serve() {
  if (!load_model()) return;
  publish(EngineState::ready);
  log("the model is ready after {:.1f} s", snapshot_.load_seconds);
  serve();
  unload_model();
}

// false: it could not be, or nobody wants it any more.
bool EngineThread::load_model() {
  publish(EngineState::loading);
  {
    const std::lock_guard lock(mutex_);
    unload_wanted_ = false;
  }
  try {
    if (options_.make_room && !options_.make_room([this] { return still_wanted(); })) {
      publish(EngineState::unloaded);
      return false;
    }
    const double start = clock_seconds();
    SchedulerOptions scheduler = options_.scheduler;
    scheduler.max_queued = scheduler.max_queued_tokens = INT64_MAX;  // submit() has kept the bounds
    scheduler.poll = [this] {
      mark_progress();
      // Who was admitted in this step waits no longer: the queue has room for another one.
      if (running_->scheduler.n_running() != snapshot_.running) publish(EngineState::ready);
      if (has_cancels_.load(std::memory_order_relaxed)) take_cancels();
    };
    running_ = std::make_unique<Running>(model_, options_, std::move(scheduler));
    const std::lock_guard lock(mutex_);
    snapshot_.load_seconds = clock_seconds() - start;
    snapshot_.error.clear();
    ++snapshot_.loads;
    load_wanted_ = false;
    return true;
  } catch (const std::exception& e) {  // std::bad_alloc too
    failed_to_load(e);
    return false;
  }
}

void EngineThread::failed_to_load(const std::exception& why) noexcept {
  Error error = no_memory();
  std::string reason;
  try {
    reason = why.what();
    error = Error(ErrorKind::resource, "the model could not be loaded: " + reason);
  } catch (const std::bad_alloc&) {  // told without it
    reason.clear();
  }
  {
    const std::lock_guard lock(mutex_);
    snapshot_.error.swap(reason);
    failed_at_ = Clock::now();
    load_wanted_ = false;
  }
  publish(EngineState::failed);
  unloaded();
  log("{}", error.what());
  end_all_posts(error);
}

void EngineThread::unload_model() {
  past_counts_ = sum(past_counts_, running_->scheduler.counts());
  past_prefixes_ = sum(past_prefixes_, running_->scheduler.prefix_counts());
  running_.reset();
  ids_.clear();
  publish(EngineState::unloaded);
  unloaded();
}

// Ends those that why() has a reason for.
template <class Why>
void EngineThread::drop_posts(Why&& why) {
  for (;;) {
    std::optional<Posted> dropped;
    std::optional<EndReason> reason;
    {
      const std::lock_guard lock(mutex_);
      const auto at =
          std::find_if(posts_.begin(), posts_.end(), [&](const Posted& p) { return (reason = why(p)).has_value(); });
      if (at == posts_.end()) return;
      posted_tokens_ -= std::ssize(at->request.prompt);
      dropped.emplace(std::move(*at));
      posts_.erase(at);
    }
    end_with(dropped->request.events, std::ssize(dropped->request.prompt), *reason, {});
  }
}

// While it waits for room.
bool EngineThread::still_wanted() {
  take_cancels();
  drop_posts([now = clock_seconds()](const Posted& p) -> std::optional<EndReason> {
    return p.request.deadline > 0 && now >= p.request.deadline ? std::optional(EndReason::deadline) : std::nullopt;
  });
  bool is_over = false;
  {
    const std::lock_guard lock(mutex_);
    is_over = draining_ && Clock::now() >= drain_until_;
    load_wanted_ = load_wanted_ && !draining_;
  }
  if (is_over) drop_posts([](const Posted&) { return std::optional(EndReason::cancelled); });
  const std::lock_guard lock(mutex_);
  return load_wanted_ || !posts_.empty();
}

// Until it drains, has been idle for long, or is to be unloaded.
void EngineThread::serve() {
  Clock::time_point idle_since = Clock::now();
  take_posts(true);  // or two models that need each other's memory might load in turns and serve nobody
  for (;;) {
    take_posts(false);
    take_cancels();
    if (running_->scheduler.has_work()) {
      step();
      idle_since = Clock::now();
    }
    if (!rest(idle_since)) return;
  }
}

void EngineThread::step() {
  mark_progress();
  SchedulerStep report;
  try {
    report = running_->scheduler.step();
  } catch (const std::exception& e) {  // a defect of ours: what was running is lost, the server is not
    log("a step failed: {}", e.what());
    running_->scheduler.end_all(EndReason::error, kStepFailed);
  }
  publish(EngineState::ready);
  if (options_.on_step) options_.on_step(report);
}

// Between two steps: waits where there is nothing to do. false: the model is to be let go of.
bool EngineThread::rest(Clock::time_point idle_since) {
  const auto has_work = [this] { return running_->scheduler.has_work() || (!posts_.empty() && !unload_wanted_); };
  std::unique_lock lock(mutex_);
  if (draining_ && Clock::now() >= drain_until_)
    for (const auto& [ticket, id] : ids_) running_->scheduler.cancel(id);
  if (has_work()) return true;
  if (draining_) return false;
  if (unload_wanted_) {
    lock.unlock();
    log("the model is unloaded: another model needs its memory");
    return false;
  }
  last_used_ = idle_since;
  progress_at_ns_ = 0;
  const auto woken = [this] { return draining_ || unload_wanted_ || !posts_.empty(); };
  if (options_.unload_after.count() == 0) {
    wake_.wait(lock, woken);
    return true;
  }
  if (wake_.wait_until(lock, idle_since + options_.unload_after, woken)) return true;
  lock.unlock();
  log("the model is unloaded: it was idle");
  return false;
}

void EngineThread::take_posts(bool even_when_leaving) {
  std::vector<Posted> posts;
  {
    const std::lock_guard lock(mutex_);
    if (even_when_leaving || !unload_wanted_) posts.swap(posts_);
    if (posts.empty()) return;
    // Until they are published they count as queued, so that the queue's bounds hold at every moment.
    snapshot_.queued += std::ssize(posts);
    snapshot_.queued_tokens += std::exchange(posted_tokens_, 0);
  }
  for (Posted& post : posts) take_post(post);
  publish(EngineState::ready);
}

// What the scheduler does not take, or has no memory for, ends with an error.
void EngineThread::take_post(Posted& post) noexcept {
  RequestEvents own;
  const auto refuse = [&, n_prompt = std::ssize(post.request.prompt)](const Error& error) {
    ids_.erase(post.ticket);
    end_with(own.on_end ? own : post.request.events, n_prompt, EndReason::error, error);
  };
  try {
    own.on_end = post.request.events.on_end;
    post.request.events.on_end = [this, ticket = post.ticket, on_end = own.on_end](const Ended& ended) {
      ids_.erase(ticket);
      if (on_end) on_end(ended);
    };
    if (options_.looks_up_drafts) post.request.generate.speculator = prompt_lookup();
    RequestId& id = ids_[post.ticket];
    id = running_->scheduler.submit(std::move(post.request));
  } catch (const Error& e) {
    refuse(e);
  } catch (const std::bad_alloc&) {
    refuse(no_memory());
  }
}

void EngineThread::take_cancels() {
  std::vector<Ticket> cancels;
  {
    const std::lock_guard lock(mutex_);
    cancels.swap(cancels_);
    has_cancels_ = false;
  }
  if (cancels.empty()) return;
  for (const Ticket ticket : cancels)
    if (const auto found = ids_.find(ticket); found != ids_.end()) running_->scheduler.cancel(found->second);
  // One that is still posted is cancelled before it is queued.
  drop_posts([&](const Posted& p) -> std::optional<EndReason> {
    if (std::find(cancels.begin(), cancels.end(), p.ticket) == cancels.end()) return std::nullopt;
    return EndReason::cancelled;
  });
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
