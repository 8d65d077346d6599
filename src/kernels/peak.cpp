#include "kernels/peak.h"

#include <algorithm>
#include <ctime>

#include "kernels/dispatch.h"

namespace fathom {

double clock_seconds(bool cpu) noexcept {
  timespec t{};
  clock_gettime(cpu ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

double peak_rate(ThreadPool& pool, int64_t rounds, double seconds, const std::function<double(int64_t)>& run,
                 bool cpu) {
  const double operations = run(1) * static_cast<double>(rounds) * pool.size();
  double best = 0, total = 0;
  while (total < seconds) {
    const double start = clock_seconds(cpu);
    pool.run([&](int) { run(rounds); });
    const double taken = clock_seconds(cpu) - start;
    best = std::max(best, operations / taken);
    total += taken;
  }
  return best;
}

double peak_products(ThreadPool& pool, const GemmKernel& kernel, double seconds, bool cpu) {
  if (kernel.peak == nullptr) return 0;
  const auto run = [&](int64_t rounds) {
    if (kernel.begin != nullptr) kernel.begin();
    const double operations = kernel.peak(rounds);
    if (kernel.end != nullptr) kernel.end();
    return operations;
  };
  return peak_rate(pool, 100000, seconds, run, cpu);
}

double peak_byte_products(ThreadPool& pool, double seconds) {
  const auto run = kernels().byte_peak;
  return run == nullptr ? 0 : peak_rate(pool, 200000, seconds, run);
}

}  // namespace fathom
