#include "linear_peak.h"

#include <algorithm>
#include <chrono>
#include <string_view>

namespace fathom::bench {

double peak_products(ThreadPool& pool, const GemmKernel& kernel, double seconds) {
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
    const auto start = std::chrono::steady_clock::now();
    pool.run([&](int) { loop(kRounds); });
    const double taken = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    best = std::max(best, loop(1) * static_cast<double>(kRounds) * pool.size() / taken);
    total += taken;
  }
  return best;
}

}  // namespace fathom::bench
