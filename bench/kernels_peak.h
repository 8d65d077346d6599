// What this machine can do at most, measured in the same run as the kernels that are held against it.
#pragma once
#include "base/machine/threads.h"
#include "kernels/kernel_table.h"

namespace fathom::bench {

// Bytes per second that all threads read together from memory: a buffer of `bytes`, larger than the caches; the best of
// several passes.
double peak_bandwidth(ThreadPool& pool, int64_t bytes);

// float operations per second of all threads together (kernels/peak.h); 0 for Isa::ref.
double peak_flops(ThreadPool& pool, Isa isa);

}  // namespace fathom::bench
