// How the matmuls of one parallel section with packed weights are cut into tasks, and which memory node a span of tasks
// belongs to.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/packed_weight.h"

namespace fathom {

inline constexpr int64_t kTaskStrips =
    kPackedBlock / kStripRows;  // strips of a task: the rows of one block of what a gated matmul writes

// Tasks [begin, end) of one matmul of the section.
struct TaskSpan {
  size_t job;
  int64_t begin, end;
};

// The matmuls of a section in order, each cut into tasks of kTaskStrips strips; tasks are numbered through all of them.
class PackedSchedule {
 public:
  // Below this many multiply-adds waking the threads costs more than they save (a few microseconds).
  static constexpr int64_t kSerialWork = 1 << 17;

  explicit PackedSchedule(size_t n_jobs) { jobs_.reserve(n_jobs); }

  // Adds the matmul of n rows of activations with w; and, if given, with `also`, a weight of the same shape that the
  // same tasks read (gate and up of one expert).
  void add(int64_t n, const Weight& w, const Weight* also = nullptr);

  int64_t n_tasks() const noexcept { return n_tasks_; }
  int64_t work() const noexcept { return work_; }  // multiply-adds
  // Where the runs of tasks begin that threads claim one after the other, and n_tasks() at the end. Each is a part of
  // what is left, so that the last ones are short and end together, but not shorter than memory or a thread's work asks
  // for.
  std::vector<int64_t> runs(int n_threads) const;
  // Grain: how many tasks a thread claims at a time. All of them, and so one thread, when the whole section costs less
  // than waking the others.
  int64_t grain(int n_threads) const noexcept;

  // Calls fn(TaskSpan) for each matmul that has some of the section's tasks [begin, end).
  template <class Fn>
  void for_each_span(int64_t begin, int64_t end, Fn&& fn) const {
    const auto after = [](int64_t task, const Job& job) { return task < job.first; };
    auto job = static_cast<size_t>(std::upper_bound(jobs_.begin(), jobs_.end(), begin, after) - jobs_.begin()) - 1;
    for (; begin < end; ++job) {
      const int64_t first = jobs_[job].first, stop = std::min(end, end_of(job));
      if (begin < stop) fn(TaskSpan{job, begin - first, stop - first});
      begin = std::max(begin, stop);
    }
  }

  // All tasks, in one queue for each memory node: a span has at most `most` tasks, whose weights begin in stripes of
  // that node (base/machine/stripes.h).
  std::vector<std::vector<TaskSpan>> node_queues(int64_t most, int n_nodes) const;

 private:
  struct Job {
    const Weight* w;
    int64_t first;  // task
  };
  int64_t end_of(size_t job) const noexcept { return job + 1 < jobs_.size() ? jobs_[job + 1].first : n_tasks_; }

  std::vector<Job> jobs_;
  int64_t n_tasks_ = 0, bytes_ = 0, work_ = 0, most_rows_ = 0;
};

}  // namespace fathom
