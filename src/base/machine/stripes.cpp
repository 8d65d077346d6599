#include "base/machine/stripes.h"

#include <algorithm>
#include <atomic>
#include <vector>

namespace fathom {
namespace {

constexpr size_t kSmallestPage = 4096;

void touch(std::span<std::byte> pages) noexcept {
  for (size_t at = 0; at < pages.size(); at += kSmallestPage)
    *static_cast<volatile std::byte*>(&pages[at]) = std::byte{0};  // volatile: the compiler sees no reader
}

}  // namespace

void place_stripes(ThreadPool& pool, std::span<std::byte> fresh) {
  const int n_nodes = pool.n_nodes();
  if (n_nodes == 1 || fresh.empty()) return;
  const size_t into_stripe = reinterpret_cast<uintptr_t>(fresh.data()) % kStripe;
  std::vector<std::atomic<size_t>> next(static_cast<size_t>(n_nodes));  // stripe that a thread of the node looks at
  pool.run([&](int thread) {
    const int node = pool.node_of(thread);
    for (;;) {
      const size_t end = (next[static_cast<size_t>(node)].fetch_add(1, std::memory_order_relaxed) + 1) * kStripe;
      const size_t begin = std::max(end - kStripe, into_stripe);
      if (begin >= fresh.size() + into_stripe) return;
      const auto stripe = fresh.subspan(begin - into_stripe, std::min(end, fresh.size() + into_stripe) - begin);
      if (stripe_owner(stripe.data(), n_nodes) == node) touch(stripe);
    }
  });
}

}  // namespace fathom
