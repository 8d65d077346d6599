#include "base/machine/threads.h"

#include <chrono>
#include <cstdio>
#include <exception>
#include <set>

#include "base/error.h"
#include "base/file/container.h"
#include "base/trace.h"

namespace fathom {
namespace {

// Long enough to bridge the gap between two sections of a forward pass (some microseconds), short enough not to burn a
// core that somebody else could use.
constexpr int kSpins = 2000;
constexpr int kLeastSpins = 100;
constexpr int kCrowdedSpins = 16;  // with more threads than CPUs, where the one that is waited for may need this CPU
// Parts end at about the same time: looking at once for those that nobody has begun would take cache lines from threads
// that are just finishing.
constexpr int kSpinsBeforeLooking = 64;
// A sleep below this ends by a thread that was running; one that others have kept from its CPU takes a time slice.
constexpr std::chrono::microseconds kShortSleep{200};

// A body of a section, and the first of what it throws.
template <class Body>
struct Caught {
  void operator()(int thread) noexcept {
    try {
      body(thread);
    } catch (...) {
      if (!has_error.exchange(true)) error = std::current_exception();
    }
  }
  Body body;
  std::atomic<bool> has_error = false;
  std::exception_ptr error = nullptr;
};

void pause_cpu() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

// Spins at most `spins` times, then sleeps. A wait that was short allows the next one twice as much, a long one half:
// on a machine of its own a pool soon never sleeps within a step; where somebody else has the CPU that is waited for,
// spinning would only keep yet another thread from its work.
template <class T>
void wait_while_equal(const std::atomic<T>& value, T old, int& spins, int max_spins) noexcept {
  using Clock = std::chrono::steady_clock;
  const auto allow = [&](int n) {
    n = std::clamp(n, std::min(kLeastSpins, max_spins), max_spins);
    if (n != spins) spins = n;  // the caller's lies beside what all threads read
  };
  for (int i = 0; i < spins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return allow(2 * spins);
    pause_cpu();
  }
  const auto start = Clock::now();
  value.wait(old, std::memory_order_acquire);
  allow(Clock::now() - start < kShortSleep ? 2 * spins : spins / 2);
}

}  // namespace

int default_thread_count(int n_cpus) { return usable_threads(n_cpus, container_limits()); }
int default_thread_count() { return default_thread_count(static_cast<int>(usable_cpus().size())); }

namespace {

// Asking for the CPUs of this process would find those of one node when another pool has bound the calling thread.
int chosen_threads(int asked, const NumaTopology& numa) {
  check(asked >= 0, "a thread pool has at least one thread");
  if (asked > 0) return asked;
  std::set<int> cpus;
  for (const auto& node : numa.nodes) cpus.insert(node.begin(), node.end());
  return cpus.empty() ? default_thread_count() : default_thread_count(static_cast<int>(cpus.size()));
}

}  // namespace

ThreadPool::ThreadPool(int asked, const NumaTopology& numa)
    : n_threads_(chosen_threads(asked, numa)), parts_(static_cast<size_t>(n_threads_)) {
  node_of_.assign(static_cast<size_t>(n_threads_), 0);
  if (n_threads_ == 1) return;
  const std::vector<int> usable = usable_cpus();
  const bool crowded = n_threads_ > default_thread_count(static_cast<int>(usable.size()));
  max_spins_ = callers_spins_ = crowded ? kCrowdedSpins : kSpins;
  const std::vector<int> threads = threads_per_node(numa, n_threads_);
  if (std::count(threads.begin(), threads.end(), 0) + 1 < std::ssize(threads)) {
    auto next = node_of_.begin();
    for (size_t node = 0; node < threads.size(); ++node) {
      if (threads[node] == 0) continue;
      next = std::fill_n(next, threads[node], static_cast<int>(cpus_.size()));
      cpus_.push_back(numa.nodes[node]);
    }
    callers_cpus_ = usable;
    bind_thread(cpus_[0]);
  }
  start_workers();
}

void ThreadPool::start_workers() {
  workers_.reserve(static_cast<size_t>(n_threads_));
  try {
    for (int t = 1; t < n_threads_; ++t) workers_.emplace_back([this, t] { worker(t); });
  } catch (const std::exception& e) {  // of the system, or memory
    const int started = static_cast<int>(workers_.size()) + 1;
    std::fprintf(stderr,
                 "fathom: %d of %d threads could be started (%s); the work goes on with them. Is there a limit "
                 "(ulimit -u, pids.max of a container)? -t chooses their number\n",
                 started, n_threads_, e.what());
    n_threads_ = started;
  }
}

ThreadPool::~ThreadPool() {
  stopping_.store(true, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  for (std::thread& w : workers_) w.join();
  if (!cpus_.empty()) bind_thread(callers_cpus_);
}

// Both who may take a part try for the section that is under way. A thread that comes late, after the part was taken
// for it and even after that section, finds a number that is not smaller and lets it be.
bool ThreadPool::Part::take(uint32_t section) noexcept {
  uint32_t last = section - 1;
  return taken.load(std::memory_order_relaxed) == last &&
         taken.compare_exchange_strong(last, section, std::memory_order_acq_rel);
}

void ThreadPool::run_body(BodyRef body) {
  if (n_threads_ == 1) {
    body(0);
    return;
  }
  check(running_.load(std::memory_order_relaxed) == 0, "ThreadPool::run is not reentrant");
  Caught<BodyRef> caught{body};
  const BodyRef part{&caught, [](void* c, int thread) { (*static_cast<Caught<BodyRef>*>(c))(thread); }};
  body_ = part;
  zone_ = Zone::current();
  running_.store(n_threads_ - 1, std::memory_order_relaxed);
  const uint32_t section = generation_.fetch_add(1, std::memory_order_release) + 1;
  generation_.notify_all();
  part(0);
  for (int i = std::min(kSpinsBeforeLooking, max_spins_); i > 0 && running_.load(std::memory_order_acquire) != 0; --i)
    pause_cpu();
  if (running_.load(std::memory_order_acquire) != 0) do_late_parts(part, section);
  if (int left = running_.load(std::memory_order_acquire); left != 0) {
    const Zone wait("wait for threads");
    for (; left != 0; left = running_.load(std::memory_order_acquire))
      wait_while_equal(running_, left, callers_spins_, max_spins_);
  }
  if (caught.error) std::rethrow_exception(caught.error);
}

// Of its own node alone: what threads of others do, they also do there (stripes.h).
void ThreadPool::do_late_parts(BodyRef body, uint32_t section) {
  for (int t = 1; t < n_threads_ && node_of(t) == node_of(0); ++t) {
    if (!parts_[static_cast<size_t>(t)].take(section)) continue;
    body(t);
    running_.fetch_sub(1, std::memory_order_acq_rel);
  }
}

void ThreadPool::worker(int thread) {
  if (!cpus_.empty()) bind_thread(cpus_[static_cast<size_t>(node_of(thread))]);
  int spins = max_spins_;
  for (uint32_t seen = 0;;) {
    wait_while_equal(generation_, seen, spins, max_spins_);
    seen = generation_.load(std::memory_order_acquire);
    if (stopping_.load(std::memory_order_relaxed)) return;
    if (!parts_[static_cast<size_t>(thread)].take(seen)) continue;
    {
      const Zone zone(zone_ != nullptr ? zone_ : "section", thread);
      body_(thread);
    }
    if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) running_.notify_all();
  }
}

}  // namespace fathom
