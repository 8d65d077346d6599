// Memory that the nodes of a pool own in turns: stripes of one huge page, so that a block of any size is spread evenly
// and its owner follows from the address alone.
#pragma once
#include <cstddef>
#include <cstdint>
#include <span>

#include "base/machine/huge_pages.h"
#include "base/machine/threads.h"

namespace fathom {

inline constexpr size_t kStripe = kHugePage;

// 0 .. n_nodes - 1.
inline int stripe_owner(const void* p, int n_nodes) noexcept {
  return static_cast<int>(reinterpret_cast<uintptr_t>(p) / kStripe % static_cast<size_t>(n_nodes));
}

// Memory of allocate_pages that nobody has written yet: each of its stripes is touched by a thread of its owner, on
// whose node the system then puts it (the rule of Linux, first touch; with huge pages the whole stripe, else page by
// page). Its bytes have no meaning afterwards. With one node nothing is done. Throws std::bad_alloc.
void place_stripes(ThreadPool& pool, std::span<std::byte> fresh);

}  // namespace fathom
