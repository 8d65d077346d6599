#include "kernels_peak.h"

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>

#include "kernels/dispatch.h"
#include "kernels/peak.h"
#include "tensor/buffer.h"

namespace fathom::bench {
namespace {

constexpr int kTries = 7;

template <class Body>
double best_seconds(Body&& body) {
  double best = 1e9;
  for (int i = 0; i < kTries; ++i) {
    const auto start = std::chrono::steady_clock::now();
    body();
    best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  return best;
}

uint64_t sum_of(const uint64_t* p,
                int64_t n) noexcept {  // eight sums, so that the compiler may use vectors and none waits
  uint64_t sum[8] = {};
  for (int64_t i = 0; i + 8 <= n; i += 8)
    for (int64_t j = 0; j < 8; ++j) sum[j] += p[i + j];
  return sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7];
}

}  // namespace

double peak_bandwidth(ThreadPool& pool, int64_t bytes) {
  const Buffer<uint64_t> data(bytes / 8);
  const double seconds = best_seconds([&] {
    pool.parallel_for(data.size(), 4096, [&](int64_t begin, int64_t end) {
      benchmark::DoNotOptimize(sum_of(data.data() + begin, end - begin));
    });
  });
  return static_cast<double>(bytes) / seconds;
}

double peak_flops(ThreadPool& pool, Isa isa) {
  constexpr double kSeconds = 0.5;
  for (const GemmKernel* kernel : runnable_gemm_kernels(MatmulPrecision::f32))
    if (kernel->name == name(isa)) return peak_products(pool, *kernel, kSeconds);
  return 0;
}

}  // namespace fathom::bench
