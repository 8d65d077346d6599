#include "kernels/rows/topk.h"

#include <algorithm>
#include <cmath>

namespace fathom {
namespace {

// A strict order of all indexes: by value, NaN last, then by index.
struct ComesBefore {
  VecView<const float> x;
  bool operator()(int32_t a, int32_t b) const noexcept {
    const float u = x[a], v = x[b];
    if (u > v) return true;
    if (u < v) return false;
    const bool u_nan = std::isnan(u), v_nan = std::isnan(v);
    if (u_nan != v_nan) return v_nan;
    return a < b;
  }
};

}  // namespace

int64_t argmax(VecView<const float> x) noexcept {
  check(x.size >= 1, "argmax of at least one number");
  int64_t best = 0;
  for (int64_t i = 1; i < x.size; ++i)
    if (x[i] > x[best] || (std::isnan(x[best]) && !std::isnan(x[i]))) best = i;
  return best;
}

void top_k(VecView<const float> x, std::span<int32_t> ids) noexcept {
  const auto k = static_cast<int64_t>(ids.size());
  check(k <= x.size && x.size <= INT32_MAX, "top_k: no more than there are");
  if (k == 0) return;
  const ComesBefore before{x};
  for (int64_t i = 0; i < k; ++i) ids[static_cast<size_t>(i)] = static_cast<int32_t>(i);
  std::make_heap(ids.begin(), ids.end(), before);  // the last of the chosen is on top
  for (auto i = static_cast<int32_t>(k); i < x.size; ++i) {
    if (!before(i, ids.front())) continue;
    std::pop_heap(ids.begin(), ids.end(), before);
    ids.back() = i;
    std::push_heap(ids.begin(), ids.end(), before);
  }
  std::sort_heap(ids.begin(), ids.end(), before);
}

}  // namespace fathom
