// What this machine can do at most, measured beside the work that is held against it.
#pragma once
#include "base/machine/threads.h"

namespace fathom {

struct MachineLimits {
  double read_bytes_per_second = 0;  // all threads streaming over memory
  double int8_ops_per_second = 0;    // all threads, products of bytes between registers; 0: not known
  double fp32_flops_per_second = 0;  // all threads, fma between registers; 0: not known for this instruction set
};

// Bytes per second at which the pool's threads together read a buffer far larger than the caches, each its own part, in
// huge pages where the system gives them, with one or two streams a thread and prefetch ahead: the best of the tries
// that fit in `seconds`.
double read_bandwidth(ThreadPool& pool, size_t buffer_bytes, double seconds);

MachineLimits measure_limits(ThreadPool& pool);

}  // namespace fathom
