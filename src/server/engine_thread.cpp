#include "server/engine_thread.h"

#include <utility>

namespace fathom::server {
namespace {

int64_t now_ns() noexcept {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(EngineThread::Clock::now().time_since_epoch()).count();
}

}  // namespace

EngineThread::Submitted EngineThread::submit(std::vector<ScheduledRequest> requests, std::vector<Ticket>& tickets) {
  int64_t tokens = 0;
  for (const ScheduledRequest& r : requests) tokens += std::ssize(r.prompt);
  const std::lock_guard lock(mutex_);
  if (draining_) return Submitted::stopping;
  if (snapshot_.state == EngineState::failed && Clock::now() < failed_at_ + kRetryLoad) return Submitted::failed;
  const SchedulerOptions& limits = options_.scheduler;
  const int64_t waiting = snapshot_.queued + std::ssize(posts_);
  const int64_t free_slots =  // what is taken out of the queue at once does not wait
      snapshot_.queued == 0 ? std::max<int64_t>(0, limits.max_running - snapshot_.running) : 0;
  if (waiting + std::ssize(requests) > limits.max_queued + free_slots) return Submitted::queue_full;
  if (waiting > 0 && snapshot_.queued_tokens + posted_tokens_ + tokens > limits.max_queued_tokens)
    return Submitted::queue_full;
  tickets.reserve(tickets.size() + requests.size());
  posts_.reserve(posts_.size() + requests.size());
  posted_tokens_ += tokens;
  last_used_ = Clock::now();
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

void EngineThread::unload() {
  const std::lock_guard lock(mutex_);
  unload_wanted_ = true;
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

bool EngineThread::idle() const {
  const EngineSnapshot s = snapshot();
  return s.running == 0 && s.queued == 0;
}

EngineThread::Clock::time_point EngineThread::last_used() const {
  const std::lock_guard lock(mutex_);
  return last_used_;
}

double EngineThread::seconds_without_progress() const noexcept {
  const int64_t at = progress_at_ns_.load(std::memory_order_relaxed);
  return at == 0 ? 0 : static_cast<double>(now_ns() - at) * 1e-9;
}

void EngineThread::mark_progress() noexcept { progress_at_ns_.store(now_ns(), std::memory_order_relaxed); }

void EngineThread::drain(std::chrono::milliseconds patience) {
  const std::lock_guard lock(mutex_);
  draining_ = true;
  drain_until_ = std::min(drain_until_, Clock::now() + patience);
  wake_.notify_all();
}

void EngineThread::join() {
  if (thread_.joinable()) thread_.join();
}

}  // namespace fathom::server
