#include "base/threads.h"

#include "base/error.h"

namespace fathom {
namespace {

// Long enough to bridge the gap between two sections of a forward pass (some microseconds), short enough not to burn a
// core that somebody else could use.
constexpr int kSpins = 2000;

void pause_cpu() noexcept {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#endif
}

template <class T>
void wait_while_equal(const std::atomic<T>& value, T old) noexcept {
  for (int i = 0; i < kSpins; ++i) {
    if (value.load(std::memory_order_acquire) != old) return;
    pause_cpu();
  }
  value.wait(old, std::memory_order_acquire);
}

}  // namespace

int default_thread_count() noexcept { return static_cast<int>(usable_cpus().size()); }

ThreadPool::ThreadPool(int n_threads, const NumaTopology& numa) : n_threads_(n_threads) {
  check(n_threads >= 1, "a thread pool has at least one thread");
  node_of_.assign(static_cast<size_t>(n_threads), 0);
  const std::vector<int> threads = threads_per_node(numa, n_threads);
  if (std::count(threads.begin(), threads.end(), 0) + 1 < std::ssize(threads)) {
    auto next = node_of_.begin();
    for (size_t node = 0; node < threads.size(); ++node) {
      if (threads[node] == 0) continue;
      next = std::fill_n(next, threads[node], static_cast<int>(cpus_.size()));
      cpus_.push_back(numa.nodes[node]);
    }
    callers_cpus_ = usable_cpus();
    bind_thread(cpus_[0]);
  }
  for (int t = 1; t < n_threads; ++t) workers_.emplace_back([this, t] { worker(t); });
}

ThreadPool::~ThreadPool() {
  stopping_.store(true, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  for (std::thread& w : workers_) w.join();
  if (!cpus_.empty()) bind_thread(callers_cpus_);
}

void ThreadPool::run(const std::function<void(int)>& body) {
  if (n_threads_ == 1) {
    body(0);
    return;
  }
  check(running_.load(std::memory_order_relaxed) == 0, "ThreadPool::run is not reentrant");
  body_ = &body;
  running_.store(n_threads_ - 1, std::memory_order_relaxed);
  generation_.fetch_add(1, std::memory_order_release);
  generation_.notify_all();
  body(0);
  for (int left = running_.load(std::memory_order_acquire); left != 0; left = running_.load(std::memory_order_acquire))
    wait_while_equal(running_, left);
}

void ThreadPool::worker(int thread) {
  if (!cpus_.empty()) bind_thread(cpus_[static_cast<size_t>(node_of(thread))]);
  uint32_t seen = 0;
  for (;;) {
    wait_while_equal(generation_, seen);
    ++seen;
    if (stopping_.load(std::memory_order_relaxed)) return;
    (*body_)(thread);
    if (running_.fetch_sub(1, std::memory_order_acq_rel) == 1) running_.notify_all();
  }
}

}  // namespace fathom
