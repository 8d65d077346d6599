#include "linear_peak.h"

#include <algorithm>
#include <ctime>
#include <string_view>

namespace fathom::bench {

double now(bool cpu) {
  timespec t{};
  clock_gettime(cpu ? CLOCK_THREAD_CPUTIME_ID : CLOCK_MONOTONIC, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

double peak_products(ThreadPool& pool, const GemmKernel& kernel, double seconds, bool cpu) {
  using Loop = double (*)(int64_t) noexcept;
  Loop loop = nullptr;
#if defined(__x86_64__)
  const std::string_view name = kernel.name;
  loop = name == "amx"           ? amx::tile_products
         : name == "avx512_bf16" ? avx512_bf16::dot_products
         : name == "avx512"      ? avx512::fma_products
         : name == "avx2"        ? avx2::fma_products
                                 : loop;
#endif
  if (loop == nullptr) return 0;
  constexpr int64_t kRounds = 100000;
  double best = 0, total = 0;
  while (total < seconds) {
    const double start = now(cpu);
    pool.run([&](int) { loop(kRounds); });
    const double taken = now(cpu) - start;
    best = std::max(best, loop(1) * static_cast<double>(kRounds) * pool.size() / taken);
    total += taken;
  }
  return best;
}

}  // namespace fathom::bench
