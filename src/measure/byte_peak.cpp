#include "measure/byte_peak.h"

#include <algorithm>

#include "kernels/dispatch.h"
#include "kernels/peak.h"

namespace fathom {

double peak_byte_products(ThreadPool& pool, double seconds) {
  const auto run = kernels().byte_peak;
  if (run == nullptr) return 0;
  constexpr int64_t kRounds = 200000;
  double best = 0, total = 0;
  while (total < seconds) {
    const double start = clock_seconds();
    pool.run([&](int) { run(kRounds); });
    const double taken = clock_seconds() - start;
    best = std::max(best, run(1) * static_cast<double>(kRounds) * pool.size() / taken);
    total += taken;
  }
  return best;
}

}  // namespace fathom
