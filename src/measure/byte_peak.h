// What this machine can do at most with products of bytes (8-bit weights or activations), as kernels/peak.h for floats.
#pragma once
#include "base/threads.h"

namespace fathom {

// Operations per second (two for each multiply-add) of all threads together, between registers alone: the best of the
// tries that fit in `seconds` (KernelTable::byte_peak). 0 where the table does not know.
double peak_byte_products(ThreadPool& pool, double seconds);

}  // namespace fathom
