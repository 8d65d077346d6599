#include "measure/limits.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <numeric>

#include "base/error.h"
#include "kernels/dispatch.h"
#include "kernels/peak.h"
#include "tensor/buffer.h"

namespace fathom {
namespace {

constexpr int64_t kLineWords = 8;                   // of 8 bytes: one cache line
constexpr size_t kBufferBytes = size_t{512} << 20;  // beyond any last level cache that a core can fill
constexpr double kSeconds = 0.6;

// The sum of n words, read as S streams side by side, each an equal part of them. Ahead: bytes that are fetched ahead,
// into the cache of that level; 0: the CPU's own prefetching alone.
template <int64_t S, int64_t Ahead, int Level>
uint64_t read_streams(const uint64_t* first, int64_t n) noexcept {
  std::array<uint64_t, kLineWords> sums{};
  for (int64_t at = 0; at < n / S; at += kLineWords)
    for (int64_t s = 0; s < S; ++s) {
      const uint64_t* line = first + s * (n / S) + at;
      if constexpr (Ahead > 0) __builtin_prefetch(line + Ahead / 8, 0, 4 - Level);
      for (size_t i = 0; i < sums.size(); ++i) sums[i] += line[i];
    }
  return std::accumulate(sums.begin(), sums.end(), uint64_t{0});
}

}  // namespace

double read_bandwidth(ThreadPool& pool, size_t buffer_bytes, double seconds) {
  const int64_t part = static_cast<int64_t>(buffer_bytes) / 8 / pool.size() / (2 * kLineWords) * (2 * kLineWords);
  check(part > 0, "a part of the buffer for every thread");
  Buffer<uint64_t> buffer(part * pool.size());
  buffer[0] = 1;
  std::atomic<uint64_t> sink{0};
  // Which of these is the fastest depends on the CPU.
  constexpr std::array kWays = {read_streams<1, 2048, 1>, read_streams<2, 2048, 1>, read_streams<1, 0, 1>,
                                read_streams<1, 4096, 2>};
  double best = 0, total = 0;
  for (size_t i = 0; i < 2 * kWays.size() || total < seconds; ++i) {
    const auto read = kWays[i % kWays.size()];
    const double start = clock_seconds();
    pool.run([&](int t) { sink += read(buffer.data() + t * part, part); });
    const double taken = clock_seconds() - start;
    best = std::max(best, 8.0 * static_cast<double>(part * pool.size()) / taken);
    total += taken;
  }
  check(sink != 0, "the words were read");
  return best;
}

MachineLimits measure_limits(ThreadPool& pool) {
  return {.read_bytes_per_second = read_bandwidth(pool, kBufferBytes, kSeconds),
          .int8_ops_per_second = peak_byte_products(pool, kSeconds),
          .fp32_flops_per_second = peak_products(pool, gemm_kernel(MatmulPrecision::f32), kSeconds)};
}

}  // namespace fathom
