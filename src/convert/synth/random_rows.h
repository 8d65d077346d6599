// Matrices of random numbers that nobody has to store.
#pragma once
#include <string_view>

#include "convert/rows.h"

namespace fathom {

// Element (i, j) is mean + deviation * z, z standard normal from (seed, name, i * cols + j) alone: the same for any
// number of threads, any order and any container. z takes 65536 values, the normal quantiles of (k + 1/2) / 65536, |z|
// < 4.4; eight of them come from one block of base/random.h (philox). About 2 ns a number.
Rows random_rows(uint64_t seed, std::string_view name, int64_t rows, int64_t cols, float mean, float deviation);

}  // namespace fathom
