// The thread that a model runs on. Requests come from any thread; all that is said to them (RequestEvents) is said on
// this one. The model is made ready to run when the first request comes, or at once, and may be let go of when it has
// been idle for long.
#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>
#include <vector>

#include "engine/loaded_engine.h"
#include "engine/scheduler/scheduler.h"

namespace fathom::server {

struct EngineThreadOptions {
  SchedulerOptions scheduler = {};  // its poll is set here
  int threads = 0;                  // of the pool; 0: all CPUs of this process
  NumaTopology numa = {};
  LoadedEngineOptions engine = {};
  bool load_at_once = true;
  std::chrono::seconds unload_after{0};                       // without a request; 0: never
  std::function<void(const StepReport&)> on_step = {};        // after each step, on the engine's thread
  std::function<void(const std::string& sentence)> log = {};  // what happens to the model; any thread
};

enum class EngineState : uint8_t { unloaded, loading, ready, failed, stopped };

// A moment of the engine, for metrics and pages.
struct EngineSnapshot {
  EngineState state = EngineState::unloaded;
  int64_t running = 0, queued = 0, queued_tokens = 0;
  int64_t cache_tokens = 0, cache_tokens_in_use = 0;
  SchedulerCounts counts = {};
  PrefixCounts prefixes = {};
  double load_seconds = 0;
  std::string error = {};  // why it failed
};

class EngineThread {
 public:
  using Ticket = uint64_t;
  enum class Submitted : uint8_t { yes, queue_full, stopping, failed };

  // The model must outlive it.
  EngineThread(const Model& model, EngineThreadOptions options);
  ~EngineThread();  // as stop(now)
  EngineThread(const EngineThread&) = delete;
  EngineThread& operator=(const EngineThread&) = delete;

  // Takes several requests together or none. check_prompt has been called for each. Their events come from the engine's
  // thread; on_end always comes when the answer is yes. tickets: written before that thread can see the requests.
  Submitted submit(std::vector<ScheduledRequest> requests, std::vector<Ticket>& tickets);
  void load();                 // now, not when the first request comes
  void cancel(Ticket ticket);  // of a request that may have ended

  EngineSnapshot snapshot() const;
  // Since the engine last got anything done, or was idle: 0 while it waits for requests.
  double seconds_without_progress() const noexcept;

  // No new requests; those there are go on for at most `patience`, then they are cancelled. Returns at once.
  void drain(std::chrono::milliseconds patience);
  // Until the thread has ended, after drain().
  void join();

 private:
  struct Posted {
    Ticket ticket;
    ScheduledRequest request;
  };
  struct Running;  // pool, engine and scheduler while the model is loaded
  void run();
  void serve(Running& running);
  bool wait_for_work();
  void load_and_serve();
  void take_posts(Running& running);
  void take_cancels(Running& running);
  void end_all_posts(const Error& error);
  void publish(const Running* running, EngineState state);
  void mark_progress() noexcept;

  const Model& model_;
  EngineThreadOptions options_;
  mutable std::mutex mutex_;  // guards all up to `snapshot_`
  std::condition_variable wake_;
  std::vector<Posted> posts_;
  std::vector<Ticket> cancels_;
  int64_t posted_tokens_ = 0;
  Ticket next_ticket_ = 1;
  bool draining_ = false, load_wanted_ = false;
  std::chrono::steady_clock::time_point drain_until_ = std::chrono::steady_clock::time_point::max();
  EngineSnapshot snapshot_;
  std::unordered_map<Ticket, RequestId> ids_;  // of the engine's thread alone
  std::atomic<int64_t> progress_at_ns_{0};     // 0: idle
  std::atomic<bool> has_cancels_ = false;
  std::thread thread_;
};

}  // namespace fathom::server
