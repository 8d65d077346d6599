// How the products of one section with packed weights are cut into runs that a thread computes at a time, and which
// memory node a run belongs to.
#pragma once
#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/packed_weight.h"

namespace fathom {

inline constexpr int64_t kTaskStrips = kPackedBlock / kStripRows;  // a whole block of what a gated job writes

// Tasks [begin, end) of one job.
struct StripSpan {
  size_t job;
  int64_t begin, end;
};

// Jobs in their order; each is cut into tasks of kTaskStrips strips, counted through.
class PackedSection {
 public:
  explicit PackedSection(size_t n_jobs) { jobs_.reserve(n_jobs); }

  // n rows of activations by w, and by `also`, of the same shape, whose strips the same tasks read.
  void add(int64_t n, const Weight& w, const Weight* also = nullptr);

  int64_t n_tasks() const noexcept { return n_tasks_; }
  // Tasks that one of n_threads takes at a time: all when the work is not worth waking the others.
  int64_t tasks_of_run(int n_threads) const noexcept;

  // fn(run) for the jobs' parts of tasks [begin, end) of the section.
  template <class Fn>
  void for_each_run(int64_t begin, int64_t end, Fn&& fn) const {
    const auto after = [](int64_t task, const Job& job) { return task < job.first; };
    auto job = static_cast<size_t>(std::upper_bound(jobs_.begin(), jobs_.end(), begin, after) - jobs_.begin()) - 1;
    for (; begin < end; ++job) {
      const int64_t first = jobs_[job].first, stop = std::min(end, end_of(job));
      if (begin < stop) fn(StripSpan{job, begin - first, stop - first});
      begin = std::max(begin, stop);
    }
  }

  // All tasks, one queue for each node: a run has at most `most` tasks, all of whose first bytes (of w) are in stripes
  // of that node (base/machine/stripes.h).
  std::vector<std::vector<StripSpan>> node_queues(int64_t most, int n_nodes) const;

 private:
  struct Job {
    const Weight* w;
    int64_t first;  // task
  };
  int64_t end_of(size_t job) const noexcept { return job + 1 < jobs_.size() ? jobs_[job + 1].first : n_tasks_; }

  std::vector<Job> jobs_;
  int64_t n_tasks_ = 0, bytes_ = 0, work_ = 0, most_rows_ = 0;  // work: multiply-adds
};

}  // namespace fathom
