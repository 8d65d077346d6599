#include "kernels/matmul/packed_schedule.h"

#include "base/machine/stripes.h"

namespace fathom {
namespace {

constexpr int64_t kRunsPerThread = 16;  // enough that the last ones end together

// With few rows of activations memory is what limits, and it is read at its full rate in runs of half a megabyte and
// more: in pieces of 64 KB two cores get half of it.
constexpr int64_t kFewRows = 15, kRunBytes = 1 << 19;

// Of runs that get shorter (runs()): the part of what is left that each of the threads would get is cut once more, and
// a run has so many multiply-adds at least, some ten microseconds.
constexpr int64_t kCutsPerThread = 4, kRunWork = 1 << 21;

}  // namespace

void PackedSchedule::add(int64_t n, const Weight& w, const Weight* also) {
  jobs_.push_back({&w, n_tasks_});
  n_tasks_ += (n_strips(w.rows) + kTaskStrips - 1) / kTaskStrips;
  bytes_ += packed_weight_bytes(w) + (also != nullptr ? packed_weight_bytes(*also) : 0);
  work_ += n * w.rows * w.cols;
  most_rows_ = std::max(most_rows_, n);
}

int64_t PackedSchedule::grain(int n_threads) const noexcept {
  if (work_ <= kSerialWork) return n_tasks_;
  int64_t runs = kRunsPerThread * n_threads;
  if (most_rows_ <= kFewRows) runs = std::clamp(bytes_ / kRunBytes / n_threads * n_threads, int64_t{n_threads}, runs);
  return std::max<int64_t>(1, (n_tasks_ + runs - 1) / runs);
}

std::vector<int64_t> PackedSchedule::runs(int n_threads) const {
  std::vector<int64_t> starts{0};
  if (n_tasks_ == 0) return starts;
  const int64_t least = std::max<int64_t>(1, std::min(kRunBytes * n_tasks_ / bytes_, kRunWork * n_tasks_ / work_));
  while (starts.back() < n_tasks_) {
    const int64_t left = n_tasks_ - starts.back();
    starts.push_back(starts.back() + std::min(left, std::max(least, left / (kCutsPerThread * n_threads))));
  }
  return starts;
}

std::vector<std::vector<TaskSpan>> PackedSchedule::node_queues(int64_t most, int n_nodes) const {
  std::vector<std::vector<TaskSpan>> queues(static_cast<size_t>(n_nodes));
  for (size_t job = 0; job < jobs_.size(); ++job) {
    const Weight& w = *jobs_[job].w;
    const int64_t n = end_of(job) - jobs_[job].first;
    const int64_t task_bytes = kTaskStrips * strip_bytes(w.dtype, w.cols);
    const auto owner = [&](int64_t task) { return stripe_owner(w.packed + task * task_bytes, n_nodes); };
    for (int64_t begin = 0, end = 0; begin < n; begin = end) {
      const int node = owner(begin);
      while (end < n && owner(end) == node) ++end;
      const int64_t runs = (end - begin + most - 1) / most;  // as equal as they come
      for (int64_t i = 0; i < runs; ++i)
        queues[static_cast<size_t>(node)].push_back(
            {job, begin + (end - begin) * i / runs, begin + (end - begin) * (i + 1) / runs});
    }
  }
  return queues;
}

}  // namespace fathom
