// A pool of threads that live as long as it does, for short parallel sections.
#pragma once
#include <algorithm>
#include <atomic>
#include <cstdint>
#include <memory>
#include <thread>
#include <type_traits>
#include <vector>

#include "base/machine/numa.h"

namespace fathom {

// Physical parallelism worth using by default: the CPUs this process may run on, or what the container's quota of CPU
// time is worth, rounded up (container.h).
int default_thread_count();
// The same of so many CPUs.
int default_thread_count(int n_cpus);

// One section at a time: run() must not be called from inside run(), nor from two threads at once.
//
// With several memory nodes the threads are shared over them (threads_per_node) and each is bound to the CPUs of its
// node, the calling one too until the pool is destroyed: one thread then makes, uses and destroys it. With one node, or
// when all threads are on one, none is bound.
//
// Made to share its CPUs: between sections a thread spins only as long as that has paid lately, then it sleeps; and the
// caller does the part of a thread that has not come by the time its own is done, so that a CPU that others use delays
// a section only while a part is under way on it.
class ThreadPool {
 public:
  // n_threads 0: default_thread_count() of the CPUs of `numa`, or of this process where it has none.
  //
  // Where the system refuses threads (ulimit -u, pids.max), the pool has those that could be started, at least the
  // calling one, and says so on stderr.
  explicit ThreadPool(int n_threads, const NumaTopology& numa = {});
  ~ThreadPool();
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int size() const noexcept { return n_threads_; }
  // Nodes that have threads, at least one, and which of them a thread is on: 0 .. n_nodes()-1.
  int n_nodes() const noexcept { return std::max(1, static_cast<int>(cpus_.size())); }
  int node_of(int thread) const noexcept { return node_of_[static_cast<size_t>(thread)]; }

  // Calls body(thread) for thread = 0 .. size()-1, each once and at the same time, and returns when all have returned.
  // The caller is thread 0, and in the place of others of its node that are late. What body throws is
  // thrown again here when all have returned: the first of what several threads throw. Takes no memory.
  template <class Body>
  void run(Body&& body) {
    using Called = std::remove_reference_t<Body>;
    run_body({const_cast<void*>(static_cast<const void*>(std::addressof(body))),
              [](void* b, int thread) { (*static_cast<Called*>(b))(thread); }});
  }

  // Splits 0 .. count-1 into size() contiguous ranges, a fixed partition: body(begin, end). Ranges start at multiples
  // of `grain`. The partition depends on the number of threads, so body must compute each index the same way wherever
  // it falls.
  template <class Body>
  void parallel_for(int64_t count, int64_t grain, Body&& body) {
    if (count <= 0) return;
    const int64_t n_grains = (count + grain - 1) / grain;
    if (n_threads_ == 1 || n_grains == 1) {
      body(int64_t{0}, count);
      return;
    }
    run([&](int thread) {
      const int64_t begin = n_grains * thread / n_threads_ * grain;
      const int64_t end = std::min(count, n_grains * (thread + 1) / n_threads_ * grain);
      if (begin < end) body(begin, end);
    });
  }

  // The same for indexes of unequal cost: threads take the next `grain` indexes when they are free. Which thread
  // computes an index is not fixed, so this too is only for work whose result does not depend on it.
  template <class Body>
  void parallel_for_dynamic(int64_t count, int64_t grain, Body&& body) {
    if (count <= 0) return;
    if (n_threads_ == 1 || count <= grain) {
      body(int64_t{0}, count);
      return;
    }
    std::atomic<int64_t> next{0};
    run([&](int) {
      for (;;) {
        const int64_t begin = next.fetch_add(grain, std::memory_order_relaxed);
        if (begin >= count) return;
        body(begin, std::min(count, begin + grain));
      }
    });
  }

  // body(thread, i) for i = 0 .. count-1, one at a time, by the thread that is free first: for tasks that need scratch
  // of their thread. Which thread runs one is not fixed.
  template <class Body>
  void for_each_task(int64_t count, Body&& body) {
    std::atomic<int64_t> next{0};
    run([&](int thread) {
      const auto take = [&] { return next.fetch_add(1, std::memory_order_relaxed); };
      for (int64_t i = take(); i < count; i = take()) body(thread, i);
    });
  }

  // body(task) for every task of queues[0 .. n_nodes()-1], one at a time: a thread takes from the queue of its own node
  // first, then from the others'. Which thread runs one is not fixed.
  template <class Task, class Body>
  void for_each_queued(const std::vector<std::vector<Task>>& queues, Body&& body) {
    struct alignas(64) Next {
      std::atomic<size_t> task{0};
    };
    std::vector<Next> next(queues.size());
    run([&](int thread) {
      for (size_t i = 0; i < queues.size(); ++i) {
        const size_t q = (static_cast<size_t>(node_of(thread)) + i) % queues.size();
        const auto take = [&] { return next[q].task.fetch_add(1, std::memory_order_relaxed); };
        for (size_t t = take(); t < queues[q].size(); t = take()) body(queues[q][t]);
      }
    });
  }

 private:
  // The last section whose part of this thread somebody took: its own thread, or the caller for it.
  struct alignas(64) Part {
    std::atomic<uint32_t> taken{0};
    bool take(uint32_t section) noexcept;
  };

  // A body of run(), by reference.
  struct BodyRef {
    void* body = nullptr;
    void (*call)(void* body, int thread) = nullptr;
    void operator()(int thread) const { call(body, thread); }
  };

  void start_workers();
  void worker(int thread);
  void run_body(BodyRef body);
  void do_late_parts(BodyRef body, uint32_t section);

  int n_threads_;
  int max_spins_ = 0;  // of a wait; how many of them pay is found while running
  int callers_spins_ = 0;
  std::vector<int> node_of_;            // of each thread
  std::vector<std::vector<int>> cpus_;  // of each node that has threads; empty with one node
  std::vector<int> callers_cpus_;       // before it was bound
  std::vector<std::thread> workers_;
  std::vector<Part> parts_;     // of each thread
  const char* zone_ = nullptr;  // of a trace: what the section under way is for
  BodyRef body_;
  std::atomic<uint32_t> generation_{0};  // one more for every section; workers wait for it to change
  std::atomic<int> running_{0};          // parts of this section that are not finished, but for the caller's
  std::atomic<bool> stopping_{false};
};

}  // namespace fathom
