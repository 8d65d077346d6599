#include "measure/limits.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <numeric>
#include <utility>

#include "base/error.h"
#include "kernels/dispatch.h"
#include "kernels/peak.h"
#include "tensor/buffer.h"

namespace fathom {
namespace {

constexpr int64_t kLineWords = 8;                   // of 8 bytes: one cache line
constexpr size_t kBufferBytes = size_t{512} << 20;  // beyond any last level cache that a core can fill
constexpr double kSeconds = 0.6;

// The sum of all words of S streams of n words each, one after the other in memory, read side by side. Ahead: bytes
// that are fetched ahead, into the cache of that level; 0: the CPU's own prefetching alone.
template <int64_t S, int64_t Ahead, int Level>
uint64_t read_streams(const uint64_t* first, int64_t n) noexcept {
  std::array<uint64_t, kLineWords> sums{};
  for (int64_t at = 0; at < n; at += kLineWords)
    for (int64_t s = 0; s < S; ++s) {
      const uint64_t* line = first + s * n + at;
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
  using Read = uint64_t (*)(const uint64_t*, int64_t) noexcept;
  constexpr std::array<std::pair<Read, int64_t>, 4> kWays = {{{read_streams<1, 2048, 1>, 1},
                                                              {read_streams<2, 2048, 1>, 2},
                                                              {read_streams<1, 0, 1>, 1},
                                                              {read_streams<1, 4096, 2>, 1}}};
  double best = 0, total = 0;
  for (size_t i = 0; i < 2 * kWays.size() || total < seconds; ++i) {
    const auto& way = kWays[i % kWays.size()];
    const double start = clock_seconds();
    pool.run([&](int t) { sink += way.first(buffer.data() + t * part, part / way.second); });
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
