#include "measure/limits.h"

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>

#include "base/error.h"
#include "kernels/gemm_dispatch.h"
#include "kernels/peak.h"
#include "tensor/buffer.h"

namespace fathom {
namespace {

constexpr size_t kLine = 64, kPrefetchAhead = 2048;
constexpr size_t kBufferBytes = size_t{512} << 20;  // beyond any last level cache that a core of today can fill
constexpr double kSeconds = 0.6;

using Word = uint64_t __attribute__((vector_size(16), aligned(16), may_alias));

// The sum of all words of S streams of `bytes` each, read side by side.
template <size_t S>
uint64_t read_streams(const std::byte* first, size_t bytes) noexcept {
  std::array<Word, 4> sums{};
  for (size_t at = 0; at < bytes; at += kLine)
    for (size_t s = 0; s < S; ++s) {
      const std::byte* line = first + s * bytes + at;
      __builtin_prefetch(line + kPrefetchAhead);
      const auto* words = reinterpret_cast<const Word*>(line);
      for (size_t i = 0; i < sums.size(); ++i) sums[i] += words[i];
    }
  const Word sum = sums[0] + sums[1] + sums[2] + sums[3];
  return sum[0] + sum[1];
}

}  // namespace

double read_bandwidth(ThreadPool& pool, size_t buffer_bytes, double seconds) {
  const auto n = static_cast<size_t>(pool.size());
  const size_t part = buffer_bytes / n / (2 * kLine) * (2 * kLine);
  check(part > 0, "a part of the buffer for every thread");
  Buffer<std::byte> buffer(static_cast<int64_t>(part * n));
  pool.run([&](int t) { std::fill_n(buffer.data() + static_cast<size_t>(t) * part, part, std::byte{1}); });
  std::atomic<uint64_t> sink{0};
  double best = 0, total = 0;
  for (int i = 0; i < 4 || total < seconds; ++i) {
    const double start = clock_seconds();
    pool.run([&](int t) {
      const std::byte* mine = buffer.data() + static_cast<size_t>(t) * part;
      sink += i % 2 == 0 ? read_streams<1>(mine, part) : read_streams<2>(mine, part / 2);
    });
    const double taken = clock_seconds() - start;
    best = std::max(best, static_cast<double>(part * n) / taken);
    total += taken;
  }
  check(sink != 0, "the words were read");
  return best;
}

MachineLimits measure_limits(ThreadPool& pool) {
  return {.read_bytes_per_second = read_bandwidth(pool, kBufferBytes, kSeconds),
          .fp32_flops_per_second = peak_products(pool, gemm_kernel(Products::f32), kSeconds)};
}

}  // namespace fathom
