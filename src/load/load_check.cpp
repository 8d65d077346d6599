#include <atomic>
#include <cmath>

#include "load/load.h"
#include "quant/decode.h"

namespace fathom {
namespace {

constexpr int64_t kNone = INT64_MAX;

// The first row of w with a number that is not finite.
int64_t first_bad_row(ThreadPool& pool, const Weight& w) {
  std::atomic<int64_t> first{kNone};
  const int64_t grain = std::max<int64_t>(1, (int64_t{1} << 16) / w.cols);
  pool.parallel_for_dynamic(w.rows, grain, [&](int64_t begin, int64_t end) {
    std::vector<float> row(static_cast<size_t>(w.cols));
    for (int64_t r = begin; r < end && r < first.load(std::memory_order_relaxed); ++r) {
      decode_row(w, r, row.data());
      bool finite = true;
      for (const float x : row) finite = finite && std::isfinite(x);
      if (finite) continue;
      int64_t seen = first.load();
      while (r < seen && !first.compare_exchange_weak(seen, r)) {
      }
      return;
    }
  });
  return first.load();
}

}  // namespace

std::vector<std::string> find_non_finite(ThreadPool& pool, Model& model) {
  std::vector<std::string> found;
  for_each_tensor(model.weights, model.config, [&](const std::string& name, const Weight& w, const Shape&) {
    if (const int64_t row = first_bad_row(pool, w); row != kNone)
      found.push_back(name + ", row " + std::to_string(row));
  });
  return found;
}

}  // namespace fathom
