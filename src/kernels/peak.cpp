#include "kernels/peak.h"

#include <algorithm>
#include <ctime>

namespace fathom {

double clock_seconds(bool cpu) noexcept {
  timespec t{};
  clock_gettime(cpu ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

namespace {

constexpr int64_t kRounds = 100000;

// run(rounds) returns its operations.
template <class Run>
double best_rate(ThreadPool& pool, double seconds, bool cpu, const Run& run) {
  const double operations = run(1) * static_cast<double>(kRounds) * pool.size();
  double best = 0, total = 0;
  while (total < seconds) {
    const double start = clock_seconds(cpu);
    pool.run([&](int) { run(kRounds); });
    const double taken = clock_seconds(cpu) - start;
    best = std::max(best, operations / taken);
    total += taken;
  }
  return best;
}

}  // namespace

double peak_products(ThreadPool& pool, const GemmKernel& kernel, double seconds, bool cpu) {
  if (kernel.peak == nullptr) return 0;
  const auto run = [&](int64_t rounds) {
    if (kernel.begin != nullptr) kernel.begin();
    const double operations = kernel.peak(rounds);
    if (kernel.end != nullptr) kernel.end();
    return operations;
  };
  return best_rate(pool, seconds, cpu, run);
}

double peak_byte_products(ThreadPool& pool, const KernelTable& kernels, double seconds) {
  if (kernels.byte_peak == nullptr) return 0;
  return best_rate(pool, seconds, false, kernels.byte_peak);
}

}  // namespace fathom
