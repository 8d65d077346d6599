// The largest numbers of a row, ties to the lowest index, on the calling thread.
#pragma once
#include <span>

#include "tensor/view.h"

namespace fathom {

// Index of the largest x; of equal ones the lowest. NaN counts as smaller than every number. Needs x.size >= 1.
int64_t argmax(VecView<const float> x) noexcept;

// Indexes of the ids.size() largest x, in descending order of x, equal ones in ascending order of index: the first k of
// a stable sort. NaN counts as smaller than every number: it is chosen only when there is nothing else left. ids.size()
// <= x.size. Cost n log k at worst.
void top_k(VecView<const float> x, std::span<int32_t> ids) noexcept;

}  // namespace fathom
