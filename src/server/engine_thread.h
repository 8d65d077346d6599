// The thread that a model runs on. Requests come from any thread; all that is said to them (RequestEvents) is said on
// this one. The model is made ready to run when the first request comes, or at once, and may be let go of when it has
// been idle for long, or when another one needs its memory. Memory that runs out ends requests, never this thread.
#pragma once
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
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
  bool looks_up_drafts = true;  // speculation by what followed earlier in a request's text (prompt_lookup.h)
  bool load_at_once = true;
  std::chrono::milliseconds unload_after{0};  // without a request; 0: never
  // Before it is loaded, on the engine's thread: waits until there is room for it, and is false when still_wanted() is
  // so at last. What it throws is why the model could not be loaded.
  std::function<bool(const std::function<bool()>& still_wanted)> make_room = {};
  std::function<void()> on_unloaded = {};                     // the room is free again; on the engine's thread
  std::function<void(const SchedulerStep&)> on_step = {};     // after each step, on the engine's thread
  std::function<void(const std::string& sentence)> log = {};  // what happens to the model; any thread
};

inline constexpr std::chrono::seconds kRetryLoad{10};

enum class EngineState : uint8_t { unloaded, loading, ready, failed, stopped };

// A moment of the engine, for metrics and pages.
struct EngineSnapshot {
  EngineState state = EngineState::unloaded;
  int64_t running = 0, queued = 0, queued_tokens = 0;
  int64_t cache_tokens = 0, cache_tokens_in_use = 0;
  SchedulerCounts counts = {};  // these two over all the times that it was loaded
  PrefixCounts prefixes = {};
  int64_t loads = 0;
  double load_seconds = 0;  // the last time
  std::string error = {};   // why it failed
};

class EngineThread {
 public:
  using Ticket = uint64_t;
  using Clock = std::chrono::steady_clock;
  enum class Submitted : uint8_t { yes, queue_full, stopping, failed };

  // The model must outlive it.
  EngineThread(const Model& model, EngineThreadOptions options);
  ~EngineThread();  // as stop(now)
  EngineThread(const EngineThread&) = delete;
  EngineThread& operator=(const EngineThread&) = delete;

  // Takes several requests together or none. check_prompt has been called for each. Their events come from the engine's
  // thread; on_end always comes when the answer is yes. tickets: written before that thread can see the requests.
  // failed: the model could not be loaded a moment ago; after kRetryLoad the next request has it tried again.
  Submitted submit(std::vector<ScheduledRequest> requests, std::vector<Ticket>& tickets);
  void load();    // now, not when the first request comes
  void unload();  // when the requests that it has begun have ended; those that come meanwhile wait for another load
  void cancel(Ticket ticket);  // of a request that may have ended

  EngineSnapshot snapshot() const;
  bool idle() const;                    // no request, begun or waiting
  Clock::time_point last_used() const;  // when it last took or ended a request
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
  struct Running;  // pool, engine and scheduler; there while the model is loaded
  void run();
  bool wait_for_work();
  void load_and_serve();
  bool load_model();
  void unload_model();
  void failed_to_load(const std::exception& why) noexcept;
  bool still_wanted();
  void serve();
  void step();
  bool rest(Clock::time_point idle_since);
  void take_posts(bool even_when_leaving);
  void take_post(Posted& post) noexcept;
  void take_cancels();
  template <class Why>
  void drop_posts(Why&& why);
  void end_all_posts(const Error& error);
  void unloaded() const noexcept;
  void publish(EngineState state);
  void mark_progress() noexcept;
  template <class... Args>
  void log(fmt::format_string<Args...> format, Args&&... args) const noexcept;

  const Model& model_;
  EngineThreadOptions options_;
  mutable std::mutex mutex_;  // guards all up to `snapshot_`
  std::condition_variable wake_;
  std::vector<Posted> posts_;
  std::vector<Ticket> cancels_;
  int64_t posted_tokens_ = 0;
  Ticket next_ticket_ = 1;
  bool draining_ = false, load_wanted_ = false, unload_wanted_ = false;
  Clock::time_point drain_until_ = Clock::time_point::max();
  Clock::time_point failed_at_, last_used_ = std::chrono::steady_clock::now();
  EngineSnapshot snapshot_;
  // Of the engine's thread alone, up to `past_prefixes_`.
  std::unique_ptr<Running> running_;
  std::unordered_map<Ticket, RequestId> ids_;
  SchedulerCounts past_counts_;  // of the times that it was loaded before
  PrefixCounts past_prefixes_;
  std::atomic<int64_t> progress_at_ns_{0};  // 0: idle
  std::atomic<bool> has_cancels_ = false;
  std::thread thread_;
};

}  // namespace fathom::server
